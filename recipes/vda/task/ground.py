"""How tall a person looks at a place in the picture.

A fixed camera over flat ground makes the height of standing people a straight line over the row
of their feet. The line is found from the boxes of one clip; with it a box gets its full height
even where legs or head were lost in grass, fog or rain.
"""

import numpy as np

TOLERANCE = 0.18
ENOUGH = 12


class Ground:
    def __init__(self, slope, offset, inliers):
        self.slope, self.offset, self.inliers = slope, offset, inliers

    def height(self, feet):
        return max(8.0, self.slope * feet + self.offset)

    def feet_below(self, head):
        """Row of the feet of a person whose head is at this row."""
        return (head + self.offset) / max(0.2, 1.0 - self.slope)

    def feet_around(self, middle):
        """Row of the feet of a person whose middle is at this row."""
        return (middle + self.offset / 2) / (1.0 - self.slope / 2)

    def plausible(self, box):
        tall = self.height(box[3])
        return 0.55 * tall < box[3] - box[1] < 1.4 * tall


def fit(boxes):
    """The line most boxes agree on, or None when there is no such line. No chance involved."""
    if len(boxes) < ENOUGH:
        return None
    points = np.array([(b[3], b[3] - b[1]) for b in boxes], float)
    step = max(1, len(points) // 90)
    some, best = points[::step], None
    for i in range(len(some)):
        for j in range(i):
            run = some[i, 0] - some[j, 0]
            slope = (some[i, 1] - some[j, 1]) / run if abs(run) > 12 else 0.0
            if not 0.0 <= slope <= 0.7:
                continue
            offset = some[i, 1] - slope * some[i, 0]
            expected = slope * points[:, 0] + offset
            near = np.abs(points[:, 1] - expected) < TOLERANCE * np.maximum(expected, 8)
            count = int(near.sum())
            if best is None or count > best[0]:
                best = (count, near)
    if best is None or best[0] < max(ENOUGH, 0.5 * len(points)):
        return None
    near = points[best[1]]
    slope, offset = 0.0, float(np.median(near[:, 1]))
    if np.ptp(near[:, 0]) > 24:
        slope, offset = np.polyfit(near[:, 0], near[:, 1], 1)
    return Ground(max(0.0, float(slope)), float(offset), best[0])


def count(mask, box):
    x1, y1, x2, y2 = (max(0, int(round(v / 2))) for v in box)
    return int(mask[y1:y2, x1:x2].sum())


def stand(ground, mask, box):
    """A box of the right height around what was seen of a person: centred on it when most was
    seen, else hung from the head or set on the feet, where more of it moves."""
    x1, y1, x2, y2 = box
    tall, middle = y2 - y1, (y1 + y2) / 2
    feet = ground.feet_around(middle)
    full = ground.height(feet)
    width = min(max(x2 - x1, 0.34 * full), 0.52 * full)
    left, right = (x1 + x2 - width) / 2, (x1 + x2 + width) / 2
    if tall < 0.75 * full:
        low, high = ground.feet_below(y1), y2 - ground.height(y2)
        hung, stood = (left, y1, right, low), (left, high, right, y2)
        return hung if count(mask, hung) >= count(mask, stood) else stood
    return (left, feet - full, right, feet)
