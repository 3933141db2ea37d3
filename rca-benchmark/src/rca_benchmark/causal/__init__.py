"""Causal discovery: arrays in, ``CausalGraph`` out. One file per algorithm.

**What is done about data that carry no test** is the same everywhere:

* constant indicators and those with more gaps than values are left out, and of indicators that
  are the same but for scale and offset one is kept; ``series.complete_series`` does so, once for
  all methods, and the others take part in a ranking through the one that was kept;
* an independence that cannot be tested, because the conditioning set determines one of the two
  variables (share of variance left below ``SINGULAR``) or because too few rows are left, is no
  evidence: the edge stays;
* what needs a covariance of full rank works on ``series.independent_columns``; a column that the
  others determine keeps no edge of its own.
"""
