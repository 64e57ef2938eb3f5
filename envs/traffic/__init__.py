"""highway-env's highway traffic as numba kernels, in highway-env's own arithmetic, order of operations and random draws.

Inside, everything is float64 in highway-env's frame: x along the road, y to the right. Positions within an episode do not depend
on how many worlds are stepped together, nor on the number of threads.
"""
