"""Memory of frames that is used again: never while anybody holds it."""

import numpy as np
import torch

from sensors.recycle import SMALLEST, room


def test_room_is_given_again_only_when_nothing_made_of_it_is_left():
    held = torch.from_numpy(room(SMALLEST + 8)[100:200]).view(10, 10)[3]
    place = held.untyped_storage().data_ptr() - 100
    other = room(SMALLEST + 8)
    assert other.ctypes.data != place
    array = held.numpy()
    del held
    assert room(SMALLEST + 8).ctypes.data != place
    array[:] = 7
    assert (np.asarray(array) == 7).all()
    del array
    assert room(SMALLEST + 8).ctypes.data == place


def test_small_rooms_are_the_allocators():
    assert len(room(100)) == 100
