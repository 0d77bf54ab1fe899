"""Boxes of single frames joined to tracks of people, and tracks cleaned once the clip is known.

A track goes on through frames in which it was not seen as long as something moves where it is
expected, so that people in a group keep their number.
"""

import numpy as np

from detect import overlap

MIN_HITS = 3
MIN_TRACK_FRAMES = 5
HIDDEN = 5  # frames that a track may stay behind another one without being seen
SMALL = 27  # pixels below which the person detector sees nothing
MATCH = 0.2  # least overlap of the expected box with a found one


def centre(box):
    return (box[:2] + box[2:]) / 2


def half(box):
    return (box[2:] - box[:2]) / 2


class Track:
    def __init__(self, index, box, score):
        self.box, self.speed = np.array(box, float), np.zeros(2)
        self.boxes, self.seen = {index: self.box.copy()}, {index: score}
        self.missing = 0

    def expected(self):
        return self.box + np.tile(self.speed, 2)

    def fits(self, box):
        """A found box of quite another size is a group or a fragment."""
        w, h = self.box[2] - self.box[0], self.box[3] - self.box[1]
        return box[2] - box[0] < 1.7 * w + 4 and 0.6 * h < box[3] - box[1] < 1.5 * h

    def update(self, index, box, score):
        expected, box = self.expected(), np.array(box, float)
        size = 0.5 if score >= 0.5 else 0.25
        if len(self.seen) < 4:
            size = 0.6
        at = 0.35 * centre(expected) + 0.65 * centre(box)
        self.speed = 0.75 * self.speed + 0.25 * (at - centre(self.box))
        extent = (1 - size) * half(expected) + size * half(box)
        self.box = np.concatenate([at - extent, at + extent])
        self.boxes[index], self.seen[index] = self.box.copy(), score
        self.missing = 0

    def coast(self, index):
        self.speed *= 0.9
        self.box = self.expected()
        self.boxes[index] = self.box.copy()
        self.missing += 1


def filled(mask, box):
    """Share of a box (full size) that moves."""
    if mask is None:
        return 0.0
    x1, y1, x2, y2 = (max(0, int(v / 2)) for v in box)
    part = mask[y1:y2, x1:x2]
    return float(part.mean()) if part.size else 0.0


class Tracker:
    def __init__(self, max_age):
        self.max_age, self.alive, self.done = max_age, [], []

    def match(self, found):
        """Pairs of track and found box: by overlap, then by distance, the best first."""
        pairs = []
        for t, track in enumerate(self.alive):
            expected = track.expected()
            h = expected[3] - expected[1]
            for d, (box, score) in enumerate(found):
                if not track.fits(box):
                    continue
                share = overlap(expected, box)
                away = np.hypot(*(expected[:2] + expected[2:] - np.add(box[:2], box[2:])) / 2) / h
                if share >= MATCH:
                    pairs.append((-share - (0.15 if score >= 0.5 else 0), t, d))
                elif away < 0.35 + 0.05 * min(track.missing, 5):
                    pairs.append((away, t, d))
        taken_t, taken_d, chosen = set(), set(), []
        for _, t, d in sorted(pairs):
            if t not in taken_t and d not in taken_d:
                taken_t.add(t)
                taken_d.add(d)
                chosen.append((t, d))
        return chosen, taken_t, taken_d

    def step(self, index, found, mask):
        chosen, seen, used = self.match(found)
        for t, d in chosen:
            self.alive[t].update(index, *found[d])
        kept, found_again = [], [self.alive[t].box for t in seen]
        for t, track in enumerate(self.alive):
            if t not in seen:
                supported = filled(mask, track.expected()) > 0.25
                limit = self.max_age if supported else min(self.max_age, 8)
                if len(track.seen) < MIN_HITS:
                    limit = 2
                elif any(overlap(track.expected(), box) > 0.55 for box in found_again):
                    limit = min(limit, HIDDEN)
                track.coast(index)
                if track.missing > limit:
                    self.done.append(track)
                    continue
            kept.append(track)
        self.alive = kept
        for d, (box, score) in enumerate(found):
            if d not in used and all(overlap(box, t.box) < 0.3 for t in self.alive):
                self.alive.append(Track(index, box, score))

    def finish(self, width, height):
        """Tracks that are people: first frame and boxes, in order of appearance."""
        good = [clean(track, width, height) for track in self.done + self.alive]
        good = [person for person in good if person]
        good.sort(key=lambda p: (-p["confirmed"], p["first"], p["boxes"]))
        kept = []
        for person in good:
            if not any(same(person, other) for other in kept):
                kept.append(person)
        kept.sort(key=lambda p: (p["first"], p["boxes"][0]))
        return kept


def same(a, b):
    """True when track a runs on top of track b for most of its life."""
    shift, count = a["first"] - b["first"], 0
    for i, box in enumerate(a["boxes"]):
        at = i + shift
        if 0 <= at < len(b["boxes"]) and overlap(box, b["boxes"][at]) > 0.55:
            count += 1
    return count > 0.5 * len(a["boxes"])


def smooth(values, reach):
    """Running mean with a shorter window at both ends."""
    out = np.empty_like(values)
    for i in range(len(values)):
        near = min(reach, i, len(values) - 1 - i)
        out[i] = values[i - near:i + near + 1].mean(axis=0)
    return out


def clean(track, width, height):
    seen = sorted(track.seen)
    confirmed = sum(1 for i in seen if track.seen[i] >= 0.5)
    first, last = seen[0], seen[-1]
    if len(seen) < MIN_HITS or last - first + 1 < MIN_TRACK_FRAMES:
        return None
    boxes = np.array([track.boxes[i] for i in range(first, last + 1)])
    tall = float(np.median(boxes[:, 3] - boxes[:, 1]))
    feet = np.stack([(boxes[:, 0] + boxes[:, 2]) / 2, boxes[:, 3]], axis=1)
    travel = float(np.hypot(*(feet.max(axis=0) - feet.min(axis=0))))
    # what is too small for the person detector must at least walk
    if confirmed < 2 and (tall > SMALL or len(seen) < 10 or travel < 0.8 * tall):
        return None
    if travel < 0.15 * tall and confirmed < 0.3 * len(seen) / 2:
        return None
    middle = smooth((boxes[:, :2] + boxes[:, 2:]) / 2, 1)
    extent = smooth((boxes[:, 2:] - boxes[:, :2]) / 2, 4)
    boxes = np.concatenate([middle - extent, middle + extent], axis=1)
    boxes[:, 0::2] = np.clip(boxes[:, 0::2], 0, width)
    boxes[:, 1::2] = np.clip(boxes[:, 1::2], 0, height)
    boxes = np.round(boxes, 1)
    return {"first": int(first), "boxes": [tuple(float(v) for v in b) for b in boxes],
            "confirmed": confirmed, "seen": len(seen)}


def travels(person):
    """Whether a track goes further than half the size of what it follows."""
    boxes = np.array(person["boxes"])
    middle = (boxes[:, :2] + boxes[:, 2:]) / 2
    size = float(np.median(np.hypot(*(boxes[:, 2:] - boxes[:, :2]).T)))
    return float(np.hypot(*np.ptp(middle, axis=0))) > 0.5 * size
