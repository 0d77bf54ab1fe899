"""Task cosmos_worker_<n>, local profile: renders one augmentation of one video with ffmpeg.

Classical image processing, not a generative model. Reads the plan that the recipe made
(render.json and grade.cube), paints the tiles it names, renders, measures what changed, and
writes augmented_video.mp4 and metadata.json. Same inputs, seed and thread count give the same
bytes.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile

import cv2
import numpy as np

import attributes
from detect import frames

MOTION = {"threshold": 0.682, "grad_thresh": 10, "blur_ksize": 7, "morph_k": 3, "dist_tol_px": 7}


def say(text):
    print(text, flush=True)


def first_video(path):
    if os.path.isfile(path):
        return path
    for folder, _, names in sorted(os.walk(path)):
        for name in sorted(names):
            if name.lower().endswith((".mp4", ".mkv", ".avi", ".mov", ".webm")):
                return os.path.join(folder, name)
    raise SystemExit("no video below " + path)


# Tiles: grey pictures that wrap at every edge.


def paint_streaks(tile, rng):
    w, h = tile["width"], tile["height"]
    image = np.zeros((h, w), np.uint8)
    slant = np.tan(np.radians(tile["slant"]))
    for _ in range(tile["count"]):
        x, y = int(rng.randint(0, w)), int(rng.randint(0, h))
        length = tile["length"] * (0.6 + 0.8 * rng.random_sample())
        level = int(tile["level"] * (0.45 + 0.55 * rng.random_sample()))
        dx, dy = int(round(length * slant)), int(round(length))
        for ox in (0, w):
            for oy in (0, -h):
                cv2.line(image, (x + ox, y + oy), (x + ox - dx, y + oy + dy), level,
                         int(tile["thickness"]), cv2.LINE_AA)
    return image


def paint_flakes(tile, rng):
    w, h = tile["width"], tile["height"]
    image = np.zeros((h, w), np.uint8)
    for _ in range(tile["count"]):
        x, y = int(rng.randint(0, w)), int(rng.randint(0, h))
        radius = tile["radius"] * (0.6 + 0.7 * rng.random_sample())
        level = int(tile["level"] * (0.6 + 0.4 * rng.random_sample()))
        for ox in (-w, 0, w):
            for oy in (-h, 0, h):
                if -9 < x + ox < w + 9 and -9 < y + oy < h + 9:
                    cv2.circle(image, (int((x + ox) * 16), int((y + oy) * 16)),
                               max(8, int(radius * 16)), level, -1, cv2.LINE_AA, 4)
    return image


def paint_cloud(tile, rng):
    """Noise of several sizes made periodic in the frequency domain, between low and 1."""
    w, h = tile["width"], tile["height"]
    spectrum = np.fft.fft2(rng.standard_normal((h, w)))
    fy, fx = np.fft.fftfreq(h)[:, None] * h / 3.0, np.fft.fftfreq(w)[None, :] * w / 5.0
    radius = np.maximum(np.sqrt(fx * fx + fy * fy), 1e-6)
    spectrum *= np.exp(-(radius / 3.0) ** 2) / (0.3 + radius) ** 1.5
    noise = np.real(np.fft.ifft2(spectrum))
    noise = np.clip((noise - noise.mean()) / (3.5 * noise.std()) + 0.5, 0, 1)
    return np.round(255 * (tile["low"] + (1 - tile["low"]) * noise)).astype(np.uint8)


def paint_depth(tile, _):
    ramp = np.linspace(tile["top"], tile["bottom"], tile["height"])
    return np.repeat(np.round(ramp).astype(np.uint8)[:, None], tile["width"], axis=1)


PAINT = {"rain": paint_streaks, "snow": paint_flakes, "cloud": paint_cloud, "depth": paint_depth}


def paint(tile):
    image = PAINT[tile["kind"]](tile, np.random.RandomState(tile["seed"]))
    if tile.get("blur"):
        pad = 8
        wrapped = cv2.copyMakeBorder(image, pad, pad, pad, pad, cv2.BORDER_WRAP)
        image = cv2.GaussianBlur(wrapped, (0, 0), tile["blur"])[pad:-pad, pad:-pad]
    return np.ascontiguousarray(image)


# Upstream's motion check: how many moving pixels of the result lie far from any moving pixel of
# the source.


class Motion:
    def __init__(self):
        self.previous = None
        self.moving = self.far = 0
        self.kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (MOTION["morph_k"],) * 2)

    def mask(self, before, now):
        k = MOTION["blur_ksize"]
        diff = cv2.GaussianBlur(cv2.absdiff(before, now), (k, k), 0)
        _, mask = cv2.threshold(diff, MOTION["grad_thresh"], 255, cv2.THRESH_BINARY)
        return cv2.morphologyEx(mask, cv2.MORPH_OPEN, self.kernel)

    def add(self, source, result):
        if self.previous is not None:
            result_mask = self.mask(self.previous[1], result)
            moving = cv2.countNonZero(result_mask)
            if moving:
                still = cv2.bitwise_not(self.mask(self.previous[0], source))
                distance = cv2.distanceTransform(still, cv2.DIST_L2, 3)
                far = (result_mask > 0) & (distance > MOTION["dist_tol_px"])
                self.moving += moving
                self.far += int(np.count_nonzero(far))
        self.previous = (source, result)

    def score(self):
        return 1.0 if self.moving == 0 else round(1.0 - self.far / self.moving, 4)


# Attributes, measured on pairs of frames of source and result.


def measure(frame):
    image = frame.astype(np.float32) / 255.0
    grey = cv2.cvtColor(image, cv2.COLOR_BGR2GRAY)
    mean = image.reshape(-1, 3).mean(axis=0)
    high, low = image.max(axis=2), image.min(axis=2)
    return {
        "luma": float(grey.mean()),
        "contrast": float(grey.std() / max(grey.mean(), 1e-3)),
        "saturation": float(np.mean((high - low) / np.maximum(high, 1e-3))),
        "warmth": float((mean[2] - mean[0]) / max(float(mean.sum()), 1e-3)),
        "detail": float(np.abs(grey - cv2.GaussianBlur(grey, (0, 0), 1.2)).mean()),
    }


def compare(source, result, rect, total):
    """Walks source and result once, in step: frames, motion score, what changed."""
    motion, pairs, count = Motion(), [], 0
    step = max(1, total // 12)
    x, y, w, h = rect
    for count, (a, b) in enumerate(zip(frames(source), frames(result)), 1):
        motion.add(cv2.cvtColor(a, cv2.COLOR_BGR2GRAY), cv2.cvtColor(b, cv2.COLOR_BGR2GRAY))
        if (count - 1) % step == 0:
            pairs.append((measure(a[y:y + h, x:x + w]), measure(b[y:y + h, x:x + w])))
    if not pairs:
        raise SystemExit("nothing to compare: no frame was rendered")
    measured = {}
    for key in pairs[0][0]:
        before = float(np.mean([p[0][key] for p in pairs]))
        after = float(np.mean([p[1][key] for p in pairs]))
        change = after - before if key == "warmth" else after / max(before, 1e-6)
        measured[key] = round(change, 4)
    return count, motion.score(), measured


def score_clean(pipe, source, rect):
    """Motion score of the render without particles, read while ffmpeg makes it."""
    motion = Motion()
    x, y, w, h = rect
    for frame in frames(source):
        data = pipe.read(w * h)
        if len(data) < w * h:
            break
        # limited range, as ffmpeg wrote it, to the full range of the other frames
        luma = np.frombuffer(data, np.uint8).reshape(h, w).astype(np.float32)
        clean = np.clip((luma - 16) * (255.0 / 219.0) + 0.5, 0, 255).astype(np.uint8)
        grey = cv2.cvtColor(frame, cv2.COLOR_BGR2GRAY)
        motion.add(np.ascontiguousarray(grey[y:y + h, x:x + w]), clean)
    while pipe.read(1 << 20):
        pass
    return motion.score()


def render(plan, source, target, scratch, rect):
    """Runs ffmpeg once; returns the score of the clean render, None without particles."""
    threads = str(plan["threads"])
    command = ["ffmpeg", "-nostdin", "-v", "error", "-y", "-filter_complex_threads", threads,
               "-threads", threads, "-i", source]
    for tile in plan["tiles"]:
        name = tile["name"] + ".pgm"
        cv2.imwrite(os.path.join(scratch, name), paint(tile))
        command += ["-i", name]
    say("painted %d tiles" % len(plan["tiles"]))
    command += ["-filter_complex", plan["filter"], "-map", "[out]", "-an", "-map_metadata", "-1",
                "-fflags", "+bitexact", "-flags:v", "+bitexact", "-fps_mode", "passthrough"]
    command += plan["encoder"]
    command += ["-movflags", "+faststart", target]
    if plan["particles"]:
        command += ["-map", "[clean]", "-fps_mode", "passthrough", "-f", "rawvideo",
                    "-pix_fmt", "gray", "pipe:1"]
    clean = None
    with open(os.path.join(scratch, "ffmpeg.log"), "w+b") as log:
        child = subprocess.Popen(command, cwd=scratch, stdout=subprocess.PIPE, stderr=log)
        if plan["particles"]:
            clean = score_clean(child.stdout, source, rect)
        child.stdout.close()
        if child.wait() != 0:
            log.seek(0)
            complaint = log.read().decode("utf-8", "replace").strip()[-800:]
            raise SystemExit("ffmpeg failed (%d): %s" % (child.returncode, complaint))
    return clean


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--plan", required=True, help="folder with render.json and grade.cube")
    parser.add_argument("--video", required=True)
    parser.add_argument("--out", required=True)
    args = parser.parse_args()
    with open(os.path.join(args.plan, "render.json"), encoding="utf-8") as file:
        plan = json.load(file)
    cv2.setNumThreads(plan["threads"])
    source = os.path.abspath(first_video(args.video))
    os.makedirs(args.out, exist_ok=True)
    target = os.path.abspath(os.path.join(args.out, "augmented_video.mp4"))
    rect = tuple(plan["rect"][key] for key in ("x", "y", "width", "height"))
    with tempfile.TemporaryDirectory(prefix="pai-vda-") as scratch:
        os.symlink(os.path.abspath(os.path.join(args.plan, "grade.cube")),
                   os.path.join(scratch, "grade.cube"))
        clean = render(plan, source, target, scratch, rect)
    say("rendered %s" % os.path.basename(target))
    count, score, measured = compare(source, target, rect, plan["frames"])
    if count != plan["frames"]:
        raise SystemExit("rendered %d frames of %d" % (count, plan["frames"]))
    clean = score if clean is None else clean
    metadata = {
        "prompt": None,
        "selections": plan["drawn"],
        "input_media_path": plan["input_path"],
        "output_media_path": plan["output_path"],
        "caption_path": None,
        "control_media": None,
        "method": "classical",
        "profile": "local",
        "filter_graph": plan["filter"],
        "tiles": plan["tiles"],
        "frames": count,
        "threads": plan["threads"],
        "codec": plan["codec"],
        "hallucination_check": {
            "passed": clean >= MOTION["threshold"],
            "score": clean,
            "threshold": MOTION["threshold"],
            "attempt": 1,
            "seed_used": plan["seed"],
            "details": dict(MOTION, score_with_particles=score, particles=plan["particles"],
                            scored="the render without particles"),
        },
        "attribute_verification": attributes.verify(
            plan["drawn"], plan["options"], measured, clean - score),
    }
    with open(os.path.join(args.out, "metadata.json"), "w", encoding="utf-8") as file:
        json.dump(metadata, file, indent=2, sort_keys=True)
        file.write("\n")
    say("motion score %.3f (with particles %.3f)" % (clean, score))
    say("measured " + json.dumps(measured))


if __name__ == "__main__":
    sys.exit(main())
