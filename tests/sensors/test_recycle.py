"""Memory of frames that is used again: never while anybody holds it."""

import numpy as np
import torch

from sensors.recycle import SMALLEST, arrays, room


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


def test_arrays_are_given_again_only_when_nothing_made_of_them_is_left():
    def make():
        block = room(SMALLEST)[:64]
        return block[:32].view(np.float32).reshape(2, 4), block[32:].view(np.bool_)

    def place():
        return arrays("test", make)[0].ctypes.data

    first = place()
    assert place() == first, "nobody holds them"
    numbers, truths = arrays("test", make)
    assert place() != first
    held = torch.from_numpy(numbers)[1, 2:]
    del numbers, truths
    assert place() != first, "a view of a tensor of one of them holds them"
    array = held.numpy()
    del held
    assert place() != first
    del array
    assert place() == first
    assert arrays("another", make)[0].ctypes.data != first
