"""Traffic on any road network as numba kernels: highway-env's ids beyond the straight highway, in its own arithmetic and order.

Inside, everything is float64 in highway-env's frame (y to the right). A network is read once from highway-env's own lanes into
tables; each world is then stepped alone, so results depend neither on the batch nor on threads.
"""
