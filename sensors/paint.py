"""The ground by lookup: a uniform grid over a road map, so that a pixel asks only the few curves near it.

Each cell keeps the painted lines within ``REACH_M`` of it and, where the road's edge is near, the lanes there; cells that are road or
grass all over keep no lane. A curve is kept relative to its cell's corner, so that float32 is exact to micrometres ten kilometres out.
One formula serves straight lines and arcs: with f and l the point's forward and left coordinates at the curve's anchor and k its
curvature, e = l - k (f^2 + l^2) / 2 gives the lateral offset d = 2 e / (1 + sqrt(1 - 2 k e)).
"""

from __future__ import annotations

import hashlib
import math
import weakref
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sensors.jit import kernel
from sensors.road import DASH_PERIOD_M, Line, Pieces, RoadMap

Floats = NDArray[np.float64]
Floats32 = NDArray[np.float32]
Ints32 = NDArray[np.int32]

CELL_M = 2.0
REACH_M = 1.0
"""How far beside its cell a line is still kept: half of the widest footprint that paint is filtered over."""
SHOULDER_M = 1.5
"""Width of the paved strip beside the outermost lane."""
MAX_CELLS = 2_000_000
KEPT_GRIDS = 16
MARGIN_M = 0.5
"""Clear ground beyond the outermost curve's reach."""
JOINT_M = 0.01
"""How far a piece runs past its ends, so that no crack shows at a joint."""

# Columns of a curve in a cell; LAST is half the lane's width, or the dash phase of a line (-1: solid).
PX, PY, COS, SIN, CURVATURE, LOW, HIGH, LAST = range(8)
GRASS_CELL, ROAD_CELL, EDGE_CELL = range(3)


@dataclass(frozen=True)
class PaintGrid:
    """A road map's grid: C = columns x rows cells, row by row from the lower left corner."""

    origin_m: tuple[float, float]
    cell_m: float
    columns: int
    rows: int
    cover: NDArray[np.uint8]  # (C,) GRASS_CELL, ROAD_CELL or EDGE_CELL
    line_from: Ints32  # (C + 1,) first line of each cell
    lines: Floats32  # (N, 8)
    lane_from: Ints32  # (C + 1,) first lane of each cell
    lanes: Floats32  # (M, 8)

    def arrays(self) -> tuple[Any, ...]:
        """What kernels read: cover, line_from, lines, lane_from, lanes, (origin x, origin y, cell), columns, rows."""
        frame = np.asarray((*self.origin_m, self.cell_m))
        return self.cover, self.line_from, self.lines, self.lane_from, self.lanes, frame, self.columns, self.rows


@kernel()
def _point_at(piece, run):  # type: ignore[no-untyped-def]
    """Point of a piece after ``run`` metres, and the cosine and sine of its turn since the start."""
    x, y, cos, sin, curvature, _ = piece
    if curvature == 0.0:
        return x + run * cos, y + run * sin, 1.0, 0.0
    c, s = math.cos(curvature * run), math.sin(curvature * run)
    forward, left = s / curvature, (1.0 - c) / curvature
    return x + forward * cos - left * sin, y + forward * sin + left * cos, c, s


@kernel()
def _project(piece, px, py):  # type: ignore[no-untyped-def]
    """Run along a piece and signed offset of a point from it, as if the piece went on."""
    x, y, cos, sin, curvature, _ = piece
    forward, left = (px - x) * cos + (py - y) * sin, (py - y) * cos - (px - x) * sin
    if curvature == 0.0:
        return forward, left
    e = left - 0.5 * curvature * (forward * forward + left * left)
    offset = 2.0 * e / (1.0 + math.sqrt(max(1.0 - 2.0 * curvature * e, 0.0)))
    return math.atan2(curvature * forward, 1.0 - curvature * left) / curvature, offset


@kernel()
def _fill(piece, run, low, high, last, corner_x, corner_y, row):  # type: ignore[no-untyped-def]
    """Write a curve relative to a cell, anchored after ``run`` metres, to its row."""
    ax, ay, c, s = _point_at(piece, run)
    row[PX], row[PY] = ax - corner_x, ay - corner_y
    row[COS], row[SIN], row[CURVATURE] = c * piece[2] - s * piece[3], s * piece[2] + c * piece[3], piece[4]
    row[LOW], row[HIGH], row[LAST] = low - run, high - run, last


@kernel()
def _mark_cells(pieces, reach, place, rows, stamp, count, found):  # type: ignore[no-untyped-def]
    """Find which pieces come within their reach of which cells; counts them, or lists them where ``found`` has room.

    Args:
        pieces: (S, 6) x, y, cosine and sine of the heading, curvature, length.
        reach: (S,) metres.
        place: Origin x, origin y, cell size, columns.
        rows: Cells along y.
        stamp: (C,) scratch, -1 everywhere.
        count: (C,) entries of each cell; when listing, where its next one goes.
        found: Out: the pieces of each cell, one cell after the other, or empty.
    """
    origin_x, origin_y, cell, columns = place
    for p in range(len(pieces)):
        piece = pieces[p]
        steps = int(piece[5] / cell) + 1
        around = int((reach[p] + cell) / cell) + 1
        for step in range(steps + 1):
            mx, my, _, _ = _point_at(piece, piece[5] * step / steps)
            ci, cj = int((mx - origin_x) / cell), int((my - origin_y) / cell)
            for j in range(max(cj - around, 0), min(cj + around + 1, rows)):
                for i in range(max(ci - around, 0), min(ci + around + 1, columns)):
                    where = j * columns + i
                    if stamp[where] != p and _reaches(piece, reach[p], origin_x + (i + 0.5) * cell, origin_y + (j + 0.5) * cell, cell):
                        stamp[where] = p
                        if len(found):
                            found[count[where]] = p
                        count[where] += 1


@kernel()
def _reaches(piece, reach, x, y, cell):  # type: ignore[no-untyped-def]
    """Whether a piece comes within reach of the cell around (x, y); a little generous at the corners."""
    run, _ = _project(piece, x, y)
    nx, ny, _, _ = _point_at(piece, min(max(run, 0.0), piece[5]))
    return math.hypot(x - nx, y - ny) <= reach + 0.7072 * cell


@kernel()
def _inside(pieces, half_width, ends, p, px, py):  # type: ignore[no-untyped-def]
    """How far inside piece ``p`` of a lane a point lies; negative outside."""
    run, offset = _project(pieces[p], px, py)
    inside = half_width[p] - abs(offset)
    over = max(ends[p, 0] - run, run - ends[p, 1])
    return min(inside, -over) if over > 0.0 else inside


@kernel()
def _cover_of(pieces, half_width, ends, first, end, found, corner_x, corner_y, cell):  # type: ignore[no-untyped-def]
    """Say whether a cell and a metre around it are road all over, neither road nor shoulder, or mixed; by samples."""
    samples = 5
    inner, outer = 0, 0
    for j in range(samples):
        for i in range(samples):
            px = corner_x - 1.0 + (cell + 2.0) * i / (samples - 1)
            py = corner_y - 1.0 + (cell + 2.0) * j / (samples - 1)
            best = -1e9
            for n in range(first, end):
                best = max(best, _inside(pieces, half_width, ends, found[n], px, py))
            inner += best >= -1e-6
            outer += best < -SHOULDER_M
    if inner == samples * samples:
        return ROAD_CELL
    return GRASS_CELL if outer == samples * samples else EDGE_CELL


@kernel()
def _fill_lanes(pieces, half_width, ends, first, found, place, cover, start, rows):  # type: ignore[no-untyped-def]
    """Classify the cells and write the lanes of the mixed ones; ``start`` (C + 1,) becomes each cell's first row."""
    origin_x, origin_y, cell, columns = place
    total = 0
    for where in range(len(cover)):
        corner_x, corner_y = origin_x + (where % columns) * cell, origin_y + (where // columns) * cell
        if first[where + 1] > first[where]:
            cover[where] = _cover_of(pieces, half_width, ends, first[where], first[where + 1], found, corner_x, corner_y, cell)
        if cover[where] == EDGE_CELL:
            for n in range(first[where], first[where + 1]):
                p = found[n]
                run, _ = _project(pieces[p], corner_x + 0.5 * cell, corner_y + 0.5 * cell)
                _fill(pieces[p], run, ends[p, 0], ends[p, 1], half_width[p], corner_x, corner_y, rows[total])
                total += 1
        start[where + 1] = total


@kernel()
def _fill_lines(pieces, dashed, offset, first, found, place, start, rows):  # type: ignore[no-untyped-def]
    """Write the lines of each cell, one that is painted twice once; ``start`` (C + 1,) becomes each cell's first row."""
    origin_x, origin_y, cell, columns = place
    total = 0
    for where in range(len(start) - 1):
        corner_x, corner_y = origin_x + (where % columns) * cell, origin_y + (where // columns) * cell
        for n in range(first[where], first[where + 1]):
            p = found[n]
            run, _ = _project(pieces[p], corner_x + 0.5 * cell, corner_y + 0.5 * cell)
            phase = (offset[p] + run) % DASH_PERIOD_M if dashed[p] else -1.0
            _fill(pieces[p], run, -JOINT_M, pieces[p, 5] + JOINT_M, phase, corner_x, corner_y, rows[total])
            if not _painted_twice(rows, start[where], total):
                total += 1
        start[where + 1] = total


@kernel()
def _painted_twice(rows, begin, new):  # type: ignore[no-untyped-def]
    """Whether an earlier line of the cell runs where the new one does."""
    for k in range(begin, new):
        near = abs(rows[k, PX] - rows[new, PX]) + abs(rows[k, PY] - rows[new, PY]) < 0.05
        same = (rows[k, LAST] < 0.0) == (rows[new, LAST] < 0.0)
        spans = rows[k, LOW] <= rows[new, LOW] + 0.05 and rows[k, HIGH] >= rows[new, HIGH] - 0.05
        if near and same and spans and abs(rows[k, COS] * rows[new, SIN] - rows[k, SIN] * rows[new, COS]) < 0.01:
            return True
    return False


def _table(pieces: Pieces) -> Floats:
    """Pieces as rows for the kernels, (S, 6)."""
    curvature = np.where(np.abs(pieces.curvature_per_m) < 1e-9, 0.0, pieces.curvature_per_m)
    columns = (*pieces.start_m.T, np.cos(pieces.heading_rad), np.sin(pieces.heading_rad), curvature, pieces.length_m)
    return np.ascontiguousarray(np.stack(columns, axis=1), np.float64).reshape(-1, 6)


def _bounds(table: Floats, margin_m: float) -> tuple[float, float, float, float]:
    """Box around all pieces, by points at most a sixteenth of a turn apart and the sagitta between them, with a margin."""
    low, high = np.full(2, np.inf), np.full(2, -np.inf)
    for piece in table:
        curvature, length = piece[4], piece[5]
        steps = 1 + int(abs(curvature) * length / (math.pi / 8))
        points = np.asarray([_point_at(piece, length * k / steps)[:2] for k in range(steps + 1)])
        sagitta = abs(curvature) * (length / steps) ** 2 / 8
        low, high = np.minimum(low, points.min(0) - sagitta), np.maximum(high, points.max(0) + sagitta)
    if not len(table):
        low, high = np.zeros(2), np.zeros(2)
    return float(low[0] - margin_m), float(low[1] - margin_m), float(high[0] + margin_m), float(high[1] + margin_m)


def _rasterise(table: Floats, reach_m: Floats, place: tuple[float, float, float, int], rows: int) -> tuple[Ints32, Ints32]:
    """First entry of each cell (C + 1,), and the pieces of all cells one after the other."""
    cells = place[3] * rows
    count = np.zeros(cells, np.int32)
    _mark_cells(table, reach_m, place, rows, np.full(cells, -1, np.int32), count, np.empty(0, np.int32))
    first = np.concatenate(([0], np.cumsum(count))).astype(np.int32)
    found = np.empty(first[-1], np.int32)
    if len(found):
        _mark_cells(table, reach_m, place, rows, np.full(cells, -1, np.int32), first[:-1].copy(), found)
    return first, found


def _lane_ends(road: RoadMap) -> Floats:
    """Run at which each lane piece begins and ends, a little longer where the lane goes on, (S, 2)."""
    pieces = road.lanes
    begins = pieces.offset_m > 1e-6
    goes_on = pieces.offset_m + pieces.length_m < road.lane_length_m[road.lane_of_piece] - 1e-6
    return np.stack((np.where(begins, -JOINT_M, 0.0), pieces.length_m + np.where(goes_on, JOINT_M, 0.0)), -1)


def build_grid(road: RoadMap) -> PaintGrid:
    """Lay the grid over a road map; the cells grow where the map is too wide for ``MAX_CELLS``."""
    lanes, lines = _table(road.lanes), _table(road.paint)
    half_width = 0.5 * road.lane_width_m[road.lane_of_piece]
    lane_reach = half_width + SHOULDER_M + 1.5
    margin = float(max(lane_reach.max(initial=0.0), REACH_M)) + MARGIN_M
    low_x, low_y, high_x, high_y = _bounds(np.concatenate((lanes, lines)), margin)
    cell = CELL_M
    while math.ceil((high_x - low_x) / cell) * math.ceil((high_y - low_y) / cell) > MAX_CELLS:
        cell *= 2.0
    columns, rows = math.ceil((high_x - low_x) / cell), math.ceil((high_y - low_y) / cell)
    place = (low_x, low_y, cell, columns)
    first, found = _rasterise(lanes, lane_reach, place, rows)
    cover, lane_from, lane_rows = np.zeros(columns * rows, np.uint8), np.zeros(columns * rows + 1, np.int32), _empty_rows(found)
    _fill_lanes(lanes, half_width, _lane_ends(road), first, found, place, cover, lane_from, lane_rows)
    first, found = _rasterise(lines, np.full(len(lines), REACH_M), place, rows)
    line_from, line_rows = np.zeros(columns * rows + 1, np.int32), _empty_rows(found)
    _fill_lines(lines, road.paint_line == int(Line.DASHED), road.paint.offset_m, first, found, place, line_from, line_rows)
    line_rows, lane_rows = line_rows[: line_from[-1]].copy(), lane_rows[: lane_from[-1]].copy()
    return PaintGrid((low_x, low_y), cell, columns, rows, cover, line_from, line_rows, lane_from, lane_rows)


def _empty_rows(found: Ints32) -> Floats32:
    """Room for as many curves as were found, and one to try."""
    return np.empty((len(found) + 1, 8), np.float32)


_GRIDS: dict[bytes, PaintGrid] = {}
_BY_MAP: dict[int, tuple[weakref.ref[RoadMap], PaintGrid]] = {}


def _digest(road: RoadMap) -> bytes:
    """Name a map by what its grid depends on, so that equal maps of many recordings share one grid."""
    digest = hashlib.blake2b(digest_size=16)
    for pieces in (road.lanes, road.paint):
        for array in vars(pieces).values():
            digest.update(array.tobytes())
    for array in (road.lane_of_piece, road.lane_width_m, road.lane_length_m, road.paint_line):
        digest.update(array.tobytes())
    return digest.digest()


def grid_of(road: RoadMap) -> PaintGrid:
    """The grid of a road map; those of the last ``KEPT_GRIDS`` different maps are kept, and a map just asked for is not hashed again."""
    known = _BY_MAP.get(id(road))
    if known is not None and known[0]() is road:
        return known[1]
    key = _digest(road)
    if key not in _GRIDS:
        while len(_GRIDS) >= KEPT_GRIDS:
            del _GRIDS[next(iter(_GRIDS))]
        _GRIDS[key] = build_grid(road)
    while len(_BY_MAP) >= KEPT_GRIDS:
        del _BY_MAP[next(iter(_BY_MAP))]
    _BY_MAP[id(road)] = (weakref.ref(road), _GRIDS[key])
    return _GRIDS[key]
