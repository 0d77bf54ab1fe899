"""Writes a label scene in the layout of the cluster's labeller (version metropolis-v3.0)."""

import colorsys
import datetime
import json
import os
import shutil
import subprocess

import cv2

import detect

VERSION = "metropolis-v3.0"
CLASSES = {"person": 1, "unknown": 0}  # COCO's person; 0 says that nobody named it


def write_json(path, payload):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "w", encoding="utf-8") as file:
        json.dump(payload, file, indent=1, sort_keys=True)
        file.write("\n")


def stamped(kind, date, payload):
    return dict(payload, version=VERSION, metadata={"type": kind, "date": date})


def today():
    """The day of the label files; SOURCE_DATE_EPOCH makes two runs byte-identical."""
    epoch = os.environ.get("SOURCE_DATE_EPOCH")
    if epoch:
        moment = datetime.datetime.fromtimestamp(int(epoch), datetime.timezone.utc)
    else:
        moment = datetime.datetime.now(datetime.timezone.utc)
    return moment.strftime("%Y-%m-%d")


def colour(track):
    """A hue of its own for each track, a golden ratio away from the one before."""
    red, green, blue = colorsys.hsv_to_rgb((track * 0.618033988749895) % 1.0, 0.85, 0.95)
    return [int(round(255 * v)) for v in (red, green, blue)]


def names(tracks):
    return ["%s_%d" % (t["object_type"], index) for index, t in enumerate(tracks, 1)]


def instances(tracks):
    counters, out = {}, {}
    for index, (name, track) in enumerate(zip(names(tracks), tracks), 1):
        kind = track["object_type"]
        counters[kind] = counters.get(kind, 0) + 1
        out[name] = {
            "object_type": kind,
            "instance_id": counters[kind],
            "semantic_id": CLASSES[kind],
            "color": colour(index),
            "caption": "%s (track %d)" % (kind, index),
        }
    return out


def loose(box, width, height):
    """Ten per cent larger on each side, inside the picture."""
    w, h = 0.1 * (box[2] - box[0]), 0.1 * (box[3] - box[1])
    return [round(max(0.0, box[0] - w), 1), round(max(0.0, box[1] - h), 1),
            round(min(width, box[2] + w), 1), round(min(height, box[3] + h), 1)]


def objects(found, stem):
    frames = {}
    for number in range(found["frames"]):
        frames["%s_frame_%06d" % (stem, number)] = {
            "format": "png", "frame_number": number, "instances": []}
    for name, track in zip(names(found["tracks"]), found["tracks"]):
        for offset, box in enumerate(track["boxes"]):
            key = "%s_frame_%06d" % (stem, track["first"] + offset)
            frames[key]["instances"].append({
                "object_id": name,
                "bounding_box_2d_tight": list(box),
                "bounding_box_2d_loose": loose(box, found["width"], found["height"]),
            })
    return {"video_id": stem, "frames": frames}


def video(found, stem, extension):
    return {
        "video_id": stem,
        "format": extension,
        "fps": max(1, min(240, int(round(found["fps"])))),
        "duration": round(found["frames"] / found["fps"], 3),
        "width": found["width"],
        "height": found["height"],
    }


def status(stages):
    degraded = [name for name, stage in stages.items() if stage["degraded"]]
    return {
        "version": "1.0",
        "degraded": bool(degraded),
        "status": "completed_degraded" if degraded else "completed",
        "degraded_stages": sorted(degraded),
        "fallbacks": {"profile": "local"},
        "stages": stages,
    }


def overlay(source, found, target, encoder_args):
    """The video with boxes in the colours of their tracks."""
    by_frame = {}
    for index, track in enumerate(found["tracks"], 1):
        red, green, blue = colour(index)
        for offset, box in enumerate(track["boxes"]):
            mark = (index, track["object_type"], box, (blue, green, red))
            by_frame.setdefault(track["first"] + offset, []).append(mark)
    width, height = found["width"], found["height"]
    thick = max(1, round(height / 400))
    size = max(0.35, height / 1300)
    command = ["ffmpeg", "-nostdin", "-v", "error", "-y", "-f", "rawvideo", "-pix_fmt", "bgr24",
               "-s", "%dx%d" % (width, height), "-r", found["rate"], "-i", "-", "-fflags",
               "+bitexact", "-flags:v", "+bitexact"]
    command += encoder_args + ["-movflags", "+faststart", target]
    encoder = subprocess.Popen(command, stdin=subprocess.PIPE, stderr=subprocess.PIPE)
    try:
        for number, frame in enumerate(detect.frames(source)):
            for index, kind, box, bgr in by_frame.get(number, []):
                x1, y1, x2, y2 = (int(round(v)) for v in box)
                cv2.rectangle(frame, (x1, y1), (x2, y2), bgr, thick, cv2.LINE_AA)
                text = "%s %d" % (kind, index)
                (w, h), _ = cv2.getTextSize(text, cv2.FONT_HERSHEY_SIMPLEX, size, 1)
                top = max(y1 - h - 4, 0)
                cv2.rectangle(frame, (x1, top), (x1 + w + 4, top + h + 4), bgr, -1)
                cv2.putText(frame, text, (x1 + 2, top + h + 1), cv2.FONT_HERSHEY_SIMPLEX, size,
                            (0, 0, 0), 1, cv2.LINE_AA)
            encoder.stdin.write(frame.tobytes())
        encoder.stdin.close()
    except BrokenPipeError:
        pass
    complaint = encoder.stderr.read().decode("utf-8", "replace").strip()
    if encoder.wait() != 0:
        raise SystemExit("overlay: ffmpeg failed: " + complaint[-400:])


def upscaled(source, target, encoder_args, threads):
    """Twice the size with a classical filter; it adds pixels, not detail."""
    command = ["ffmpeg", "-nostdin", "-v", "error", "-y", "-threads", str(threads), "-i", source,
               "-vf", "scale=2*iw:2*ih:flags=lanczos+accurate_rnd,format=yuv420p", "-an",
               "-map_metadata", "-1", "-fflags", "+bitexact", "-flags:v", "+bitexact",
               "-fps_mode", "passthrough"]
    command += encoder_args + ["-movflags", "+faststart", target]
    done = subprocess.run(command, stderr=subprocess.PIPE, text=True)
    if done.returncode != 0:
        raise SystemExit("super resolution: ffmpeg failed: " + done.stderr.strip()[-400:])


def keep_media(source, out, stem):
    extension = os.path.splitext(source)[1].lstrip(".").lower()
    os.makedirs(os.path.join(out, "raw"), exist_ok=True)
    shutil.copyfile(source, os.path.join(out, "raw", "%s.%s" % (stem, extension)))
    return extension
