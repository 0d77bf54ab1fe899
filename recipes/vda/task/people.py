"""Detection and tracking over a whole clip, at a bounded working size."""

import cv2
import numpy as np

import detect
import track

WORK_HEIGHT = 720  # larger pictures are scaled down: time and memory stay bounded
STEADY_FPS = 8  # below this a walking person need not overlap with himself a frame later


class Clip:
    """Frames of a video at working size."""

    def __init__(self, path):
        self.path, info = path, detect.describe(path)
        self.fps, self.count = info["fps"], info["frames"]
        self.width, self.height = info["width"], info["height"]
        self.scale = min(1.0, WORK_HEIGHT / self.height)
        self.size = (int(self.width * self.scale) // 2 * 2, int(self.height * self.scale) // 2 * 2)

    def frames(self, wanted=None):
        for frame in detect.frames(self.path, wanted):
            if frame is not None and self.scale < 1.0:
                frame = cv2.resize(frame, self.size, interpolation=cv2.INTER_AREA)
            yield frame

    def back(self, person):
        """A track in the pixels of the video itself."""
        fx, fy = self.width / self.size[0], self.height / self.size[1]
        by = (fx, fy, fx, fy)
        boxes = [tuple(round(v * f, 1) for v, f in zip(b, by)) for b in person["boxes"]]
        return dict(person, boxes=boxes)


def packed(mask):
    return np.packbits(mask), mask.shape


def unpacked(pack):
    bits, shape = pack
    return np.unpackbits(bits, count=shape[0] * shape[1]).reshape(shape)


def watch(clip, log):
    """One pass over the clip: what moves, and who the person detector confirms."""
    parts, edges, some = detect.backgrounds(clip, clip.count)
    detector = detect.Detector(*clip.size)
    moving_camera = detect.moves(some)
    if moving_camera:
        log("the camera moves: person detector on whole frames, no motion to go by")
    else:
        detector.learn(some, parts)
        ground = detector.ground
        log("ground: %s" % ("height of a person = %.3f x row + %.1f, from %d boxes" % (
            ground.slope, ground.offset, ground.inliers) if ground else "not found"))
    some = None
    seen, before, part = [], None, 0
    for index, frame in enumerate(clip.frames()):
        due = index % detect.HOG_EVERY == 0
        if moving_camera:
            seen.append((None, [], detector.whole_frame(frame) if due else []))
            continue
        while part + 2 < len(edges) and index >= edges[part + 1]:
            part += 1
        now = parts[part].moving(detect.small(frame))
        mask, blobs = detector.blobs(now, before if clip.fps >= STEADY_FPS else None)
        before = now
        confirmed = detector.look(frame, mask, blobs, parts[part]) if due else []
        seen.append((packed(mask), blobs, confirmed))
        if index % 100 == 99:
            log("looked at %d of %d frames" % (index + 1, clip.count))
    clip.count = len(seen)  # what was read counts, not what the file says
    return seen, detector.ground, moving_camera


def others(clip, seen, persons, max_age):
    """Tracks of moving things that are no people."""
    taken = [[] for _ in seen]
    for person in persons:
        for i, box in enumerate(person["boxes"]):
            taken[person["first"] + i].append(box)
    tracker = track.Tracker(max_age)
    for index, (mask, blobs, _) in enumerate(seen):
        if mask is None:
            return []
        found = [(b[:4], 0.6) for b in blobs if b[4] >= 400 and not detect.covered(b, taken[index])]
        tracker.step(index, found, unpacked(mask))
    wide = [t for t in tracker.finish(*clip.size) if len(t["boxes"]) >= 10]
    return [t for t in wide if track.travels(t)]


def find(path, max_age, with_others, log):
    """People (and, when asked for, other moving things) of a video, in its own pixels."""
    clip = Clip(path)
    seen, ground, moving_camera = watch(clip, log)
    tracker = track.Tracker(max_age)
    for index, (mask, blobs, confirmed) in enumerate(seen):
        mask = None if mask is None else unpacked(mask)
        tracker.step(index, detect.people(ground, confirmed, blobs, mask), mask)
    persons = tracker.finish(*clip.size)
    unknown = others(clip, seen, persons, max_age) if with_others else []
    result = {
        "width": clip.width,
        "height": clip.height,
        "fps": clip.fps,
        "frames": clip.count,
        "moving_camera": moving_camera,
        "tracks": [dict(clip.back(p), object_type="person") for p in persons]
        + [dict(clip.back(t), object_type="unknown") for t in unknown],
    }
    log("%d people, %d other things, %d boxes" % (
        len(persons), len(unknown), sum(len(t["boxes"]) for t in result["tracks"])))
    return result
