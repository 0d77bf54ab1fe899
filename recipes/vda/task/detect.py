"""People in the frames of one clip: motion regions of a fixed camera, confirmed by the HOG person
detector that is part of OpenCV (no model file).

A frame is compared with a median background of its part of the clip, and the difference is judged
against what this place shows anyway: its texture and its usual unrest. So drifting fog, rain, snow
or a dark hour change the outcome little. People who never move belong to the background.
"""

import cv2
import numpy as np

import ground as ground_mod

HOG_EVERY = 2  # frames from one run of the person detector to the next
WINDOW = 300  # frames that share one background
SAMPLES = 45  # frames a background is the median of
CALM = 31  # pixels (half size) over which slow changes of light are evened out
SHIFT = 0.75  # pixels (half size) between samples above which the camera itself moves
VISITED = 0.05  # share of changed samples that a place needs to be somebody's stand
REMEMBER = 7  # runs of the person detector for which a place is looked at again
TOP, BOTTOM = 0.095, 0.915  # where a person's head and feet are in the detector's window
PERSON = 128 * (BOTTOM - TOP)
LEARN = 100  # boxes that are enough to find the ground
STEP = 1.15  # from one size of a person to the next
STEADY = 0.15  # share of a region that must have moved in the frame before
OVERLAP = 0.35  # boxes that overlap more are one person


def opened(path):
    video = cv2.VideoCapture(path)
    if not video.isOpened():
        raise SystemExit("cannot read " + path)
    return video


def frames(path, wanted=None):
    """Colour frames of a video, in order; None in place of those that are not wanted."""
    video, index = opened(path), 0
    while video.grab():
        if wanted is None or index in wanted:
            ok, frame = video.retrieve()
            if not ok:
                break
            yield frame
        else:
            yield None
        index += 1
    video.release()


def describe(path):
    """Width, height, frames a second and number of frames."""
    video = opened(path)
    info = {
        "width": int(video.get(cv2.CAP_PROP_FRAME_WIDTH)),
        "height": int(video.get(cv2.CAP_PROP_FRAME_HEIGHT)),
        "fps": float(video.get(cv2.CAP_PROP_FPS)) or 25.0,
        "frames": int(video.get(cv2.CAP_PROP_FRAME_COUNT)),
    }
    if info["frames"] <= 0:
        info["frames"] = sum(1 for _ in iter(video.grab, False))
    video.release()
    return info


def settled(frame):
    """Luma without bright specks and streaks narrower than a limb: rain, snow, sensor noise."""
    grey = cv2.cvtColor(frame, cv2.COLOR_BGR2GRAY)
    return cv2.morphologyEx(grey, cv2.MORPH_OPEN, np.ones((1, 5), np.uint8))


def small(frame):
    """Luma at half size, slightly blurred."""
    grey = settled(frame)
    half = cv2.resize(grey, (grey.shape[1] // 2, grey.shape[0] // 2), interpolation=cv2.INTER_AREA)
    return cv2.GaussianBlur(half, (0, 0), 1.0)


def calm(diff):
    """A difference without slow changes of light; big differences do not pull the mean."""
    return diff - cv2.blur(np.clip(diff, -6, 6), (CALM, CALM))


class Background:
    """What a part of the clip looks like without people, and how much each place varies."""

    def __init__(self, samples):
        stack = np.stack(samples).astype(np.float32)
        self.picture = np.median(stack, axis=0).astype(np.float32)
        unrest = np.percentile([np.abs(calm(s - self.picture)) for s in stack], 60, axis=0)
        unrest = cv2.blur(unrest.astype(np.float32), (9, 9))
        mean = cv2.blur(self.picture, (61, 61))
        square = cv2.blur(self.picture * self.picture, (61, 61))
        texture = np.sqrt(np.maximum(square - mean * mean, 0))
        self.scale = 0.08 * texture + 0.10 * float(np.median(texture)) + 2.6 * unrest + 0.5
        changed = [np.abs(calm(s - self.picture)) > self.scale for s in stack]
        self.visits = np.mean(changed, axis=0).astype(np.float32)

    def moving(self, half):
        """Mask (half size) of what differs."""
        score = np.abs(calm(half.astype(np.float32) - self.picture)) / self.scale
        mask = (score > 1).astype(np.uint8)
        mask = cv2.morphologyEx(mask, cv2.MORPH_OPEN, np.ones((3, 3), np.uint8))
        return cv2.morphologyEx(mask, cv2.MORPH_CLOSE, np.ones((9, 5), np.uint8))


def backgrounds(clip, total):
    """One background for each WINDOW frames (a short rest joins the window before it), the edges
    between them, and some frames of the first one with the small frame before each."""
    edges = list(range(0, total, WINDOW))
    if len(edges) > 1 and total - edges[-1] < WINDOW // 2:
        edges.pop()
    edges.append(total)
    wanted = {}
    for part, (first, last) in enumerate(zip(edges, edges[1:])):
        for index in np.linspace(first, last - 1, min(SAMPLES, last - first)).astype(int):
            wanted[int(index)] = part
    samples, some, before = [[] for _ in edges[1:]], [], None
    needed = set(wanted) | {index - 1 for index, part in wanted.items() if part == 0}
    for index, frame in enumerate(clip.frames(needed)):
        if index in wanted:
            samples[wanted[index]].append(small(frame))
            if wanted[index] == 0:
                some.append((wanted[index], frame, before))
        before = None if frame is None else small(frame)
    parts = []
    for sample in samples:
        # a file may promise more frames than it has
        parts.append(Background(sample) if sample else parts[-1])
    return parts, edges, some


def overlap(a, b):
    """Intersection over union of two boxes x1, y1, x2, y2."""
    w = min(a[2], b[2]) - max(a[0], b[0])
    h = min(a[3], b[3]) - max(a[1], b[1])
    if w <= 0 or h <= 0:
        return 0.0
    both = w * h
    return both / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - both)


def suppress(found):
    """Keeps the best of boxes that overlap; ties are decided by position, not by chance."""
    kept = []
    for one in sorted(found, key=lambda f: (-f[1], f[0])):
        if all(overlap(one[0], other[0]) < OVERLAP for other in kept):
            kept.append(one)
    return kept


def joined(a, b):
    return [min(a[0], b[0]), min(a[1], b[1]), max(a[2], b[2]), max(a[3], b[3]),
            min(a[4], b[4]), max(a[5], b[5])]


def area(box):
    return (box[2] - box[0]) * (box[3] - box[1])


def worth(a, b):
    """Whether two regions are better looked at as one."""
    return overlap(a, b) > 0 and area(joined(a, b)) < 1.15 * (area(a) + area(b))


def sizes(least, greatest):
    """Heights of people to look for: the same steps in every clip, so that small differences of
    the ground or of a region do not change what the detector sees."""
    step = int(np.floor(np.log(least) / np.log(STEP) + 0.5))
    found = [STEP ** step]
    while found[-1] * STEP < greatest:
        found.append(found[-1] * STEP)
    return found


class Detector:
    def __init__(self, width, height):
        self.width, self.height = width, height
        self.recent, self.ground = {}, None
        self.clahe = cv2.createCLAHE(3.0, (8, 8))
        self.hog = cv2.HOGDescriptor()
        self.hog.setSVMDetector(cv2.HOGDescriptor_getDefaultPeopleDetector())

    def blobs(self, mask, before):
        """Mask without what was not there a moment ago, and boxes (full size) with areas of its
        connected regions. A person overlaps with himself from frame to frame; a flake does not."""
        count, labels, stats, _ = cv2.connectedComponentsWithStats(mask, connectivity=8)
        if before is not None:
            shared = np.bincount(labels[before > 0], minlength=count)
            steady = shared > STEADY * stats[:, cv2.CC_STAT_AREA]
            steady[0] = False
            mask = steady[labels].astype(np.uint8)
        found = []
        for index in range(1, count):
            x, y, w, h, area = (int(v) for v in stats[index])
            if area >= 24 and h >= 7 and (before is None or steady[index]):
                found.append((2.0 * x, 2.0 * y, 2.0 * (x + w), 2.0 * (y + h), 4.0 * area))
        return mask, found

    def regions(self, places):
        """Padded places, joined where that makes less to look at: x1, y1, x2, y2, least and
        greatest height of a person in it."""
        merged = []
        for x1, y1, x2, y2 in (p[:4] for p in places):
            h = y2 - y1
            tall = self.ground.height(y2) if self.ground else h
            if h < max(16, 0.4 * tall) or h > 2.5 * tall:
                continue
            pad = 0.18 * max(tall, h)
            side = max(pad, (0.75 * tall - (x2 - x1)) / 2)
            top = min(y1, y2 - tall) - pad
            region = [max(0, x1 - side), max(0, top), min(self.width, x2 + side),
                      min(self.height, max(y2, y1 + tall) + pad), tall, tall]
            while True:
                hit = next((m for m in merged if worth(m, region)), None)
                if hit is None:
                    break
                merged.remove(hit)
                region = joined(hit, region)
            merged.append(region)
        return merged

    def hog_in(self, grey, region, scale, single):
        """Hits of the person detector in a region scaled first; all sizes, or just that one."""
        x1, y1 = (int(int(v * scale / 8) * 8 / scale) for v in region[:2])  # a grid of its own
        x2, y2 = (int(round(v)) for v in region[2:4])
        crop = grey[y1:y2, x1:x2]
        crop = cv2.resize(crop, None, fx=scale, fy=scale, interpolation=cv2.INTER_LINEAR)
        if crop.shape[0] < 128 or crop.shape[1] < 64:
            crop = cv2.copyMakeBorder(crop, 0, max(0, 128 - crop.shape[0]), 0,
                                      max(0, 64 - crop.shape[1]), cv2.BORDER_REPLICATE)
        if single:
            points, weights = self.hog.detect(crop, hitThreshold=0.0, winStride=(8, 8),
                                              padding=(16, 16))
            rects = [(x, y, 64, 128) for x, y in points]
        else:
            rects, weights = self.hog.detectMultiScale(crop, hitThreshold=0.0, winStride=(8, 8),
                                                       padding=(8, 8), scale=1.06)
        found = []
        for (x, y, w, h), weight in zip(rects, np.ravel(weights)):
            # the detector's window has a margin around the person
            box = (x1 + (x + 0.18 * w) / scale, y1 + (y + TOP * h) / scale,
                   x1 + (x + 0.82 * w) / scale, y1 + (y + BOTTOM * h) / scale)
            found.append((box, float(weight)))
        return found

    def hog_people(self, grey, places):
        found = []
        for region in self.regions(places):
            if self.ground is None:
                scale = min(3.0, max(0.75, PERSON / region[4]))
                found += self.hog_in(grey, region, scale, False)
                continue
            for tall in sizes(0.95 * region[4], 1.08 * region[5]):
                found += self.hog_in(grey, region, min(4.0, PERSON / tall), True)
        return suppress(found)

    def fit(self, box, mask):
        """The part of a box that moves, with room for feet and head; None if nearly nothing."""
        x1, x2 = int(max(0, box[0]) / 2), int(min(self.width, box[2]) / 2) + 1
        room = 0.12 * (box[3] - box[1])
        y1 = int(max(0, box[1] - room) / 2)
        y2 = int(min(self.height, box[3] + room) / 2) + 1
        part = mask[y1:y2, x1:x2]
        if part.size == 0 or part.mean() < 0.12:
            return None
        rows, columns = np.flatnonzero(part.any(axis=1)), np.flatnonzero(part.any(axis=0))
        return (2.0 * (x1 + columns[0]), 2.0 * (y1 + rows[0]),
                2.0 * (x1 + columns[-1] + 1), 2.0 * (y1 + rows[-1] + 1))

    def learn(self, some, parts):
        """Finds the ground from sampled frames, with the person detector at every size."""
        boxes = []
        for part, frame, before in some[::3] + some[1::3] + some[2::3]:
            if len(boxes) >= LEARN:
                break
            earlier = None if before is None else parts[part].moving(before)
            grey = self.clahe.apply(settled(frame))
            _, blobs = self.blobs(parts[part].moving(small(frame)), earlier)
            boxes += [box for box, _ in self.hog_people(grey, blobs)]
        self.ground = ground_mod.fit(boxes)

    def stood(self, box, background):
        """Whether something came to this place or left it: what never changes is furniture."""
        x1, y1, x2, y2 = (max(0, int(v / 2)) for v in box)
        part = background.visits[y1:y2, x1:x2]
        return part.size > 0 and float(part.mean()) > VISITED

    def look(self, frame, mask, blobs, background):
        """Confirmed people of one frame: (box tight around what moves, score, HOG's own box)."""
        grey = self.clahe.apply(settled(frame))
        places = list(blobs)
        for box in self.recent:
            places.append(box + (0.0,))
        fitted = []
        for box, weight in self.hog_people(grey, places):
            tight = self.fit(box, mask)
            score = 0.5 + min(weight, 2.0) / 4
            if tight and tight[3] - tight[1] > 0.5 * (box[3] - box[1]):
                fitted.append((tight, score, box))
            elif self.stood(box, background) and any(overlap(box, r) > 0.4 for r in self.recent):
                fitted.append((box, score, box))
        fitted = suppress(fitted)
        for box, age in list(self.recent.items()):
            if age >= REMEMBER or any(overlap(box, f[2]) > 0.5 for f in fitted):
                del self.recent[box]
            else:
                self.recent[box] = age + 1
        self.recent.update((f[2], 0) for f in fitted)
        return fitted

    def whole_frame(self, frame):
        """For a moving camera: no motion to go by, the person detector alone."""
        grey = self.clahe.apply(settled(frame))
        scale = min(1.5, max(1.0, 640 / self.height))
        found = self.hog_in(grey, (0, 0, self.width, self.height), scale, False)
        sure = suppress(f for f in found if f[1] > 0.3)
        return [(box, 0.5 + min(weight, 2.0) / 4, box) for box, weight in sure]


def moves(some):
    """True when the picture as a whole shifts between frames: the camera is not fixed."""
    shifts, before = [], None
    for _, frame, _ in some:
        now = small(frame).astype(np.float32)
        if before is not None:
            window = cv2.createHanningWindow((now.shape[1], now.shape[0]), cv2.CV_32F)
            (dx, dy), _ = cv2.phaseCorrelate(before, now, window)
            shifts.append(float(np.hypot(dx, dy)))
        before = now
    return len(shifts) > 2 and float(np.median(shifts)) > SHIFT


def covered(blob, boxes):
    """Whether a good part of a blob lies in one of the boxes."""
    area = (blob[2] - blob[0]) * (blob[3] - blob[1])
    for box in boxes:
        w = min(blob[2], box[2]) - max(blob[0], box[0])
        h = min(blob[3], box[3]) - max(blob[1], box[1])
        if w > 0 and h > 0 and w * h > 0.2 * area:
            return True
    return False


def people(ground, confirmed, blobs, mask):
    """Boxes of one frame with a score: above 0.5 confirmed by HOG, else an upright moving blob."""
    found = []
    for box, score, _ in confirmed:
        if ground is None or ground.plausible(box):
            found.append((ground_mod.stand(ground, mask, box) if ground else box, score))
    found = suppress(found)
    kept = list(found)
    for x1, y1, x2, y2, area in blobs:
        box, w, h = (x1, y1, x2, y2), x2 - x1, y2 - y1
        upright = h >= 16 and 1.2 <= h / w <= 5.0 and area >= 0.35 * w * h
        if ground is not None:
            upright = upright and ground.plausible(box)
            box = ground_mod.stand(ground, mask, box) if upright else box
        if upright and all(overlap(box, c) < 0.25 for c, _ in found):
            kept.append((box, 0.3))
    return kept
