"""highway-env's observations as numba kernels: what an ego sees of its world, read from the records of envs.network.layout.

``observer_for`` (in ``choice``) reads an environment's own observation type and gives an ``Observer``, whose arrays have highway-env's
shapes and dtypes. Inside, y points to the right, as in highway-env.
"""

from envs.network.observations.choice import observer_for as observer_for
from envs.network.observations.observer import Observer as Observer
