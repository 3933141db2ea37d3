"""What spans and log lines tell, as arrays and tables, computed once per case."""
