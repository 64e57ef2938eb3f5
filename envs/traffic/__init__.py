"""highway-env's highway traffic as numba kernels, in highway-env's own order of operations and random draws.

Inside, everything is float64 in highway-env's frame: x along the road, y to the right. Exact mode is highway-env's own arithmetic;
fast mode takes polynomials for elementary functions, from the same source. Positions within an episode do not depend on how many
worlds are stepped together, nor on the number of threads.
"""
