"""The load generator in Python, for machines without a C compiler. Same commands as load/main.c.

It checks as strictly and answers the same questions, but is at its own limit long before fast
proxies are: CPU and memory are still the proxy's, throughput and latency mostly the generator's.
"""
