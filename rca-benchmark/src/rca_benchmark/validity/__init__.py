"""Whether a recorded data set can be believed: did the faults act, does anything tell on them?"""
