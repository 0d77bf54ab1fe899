"""Tasks pl_original_worker_<n> and pl_augmented_worker_<n>, local profile: finds and tracks people
in one video and writes a label scene. OpenCV's HOG person detector and a motion model; no neural
network, no vision-language model.

With --reference (the source of an augmented video) the source is labelled as well, so that the two
can be compared; with --labels transfer its labels become those of the scene.
"""

import argparse
import json
import multiprocessing
import os
import tempfile

import cv2

import augment
import people
import scene


class Log:
    """Lines for the task's log and for the files under logs/."""

    def __init__(self, folder):
        os.makedirs(folder, exist_ok=True)
        self.folder = folder

    def __call__(self, text, name="pipeline"):
        print(text, flush=True)
        with open(os.path.join(self.folder, name + ".log"), "a", encoding="utf-8") as file:
            file.write(text + "\n")


def search(path, config, log):
    return dict(people.find(path, config["max_age"], config["unknown"], log), rate=config["rate"])


def search_into(path, config, target, lines):
    with open(lines, "w", encoding="utf-8") as file:
        found = search(path, config, lambda text: print(text, file=file))
    with open(target, "w", encoding="utf-8") as file:
        json.dump(found, file)


class Reference:
    """Labels the source beside us. A fork: loading OpenCV anew takes longer than a short clip."""

    def __init__(self, path, config, scratch):
        self.target = os.path.join(scratch, "reference.json")
        self.lines = os.path.join(scratch, "reference.log")
        open(self.lines, "w", encoding="utf-8").close()  # there, whatever becomes of the child
        self.child = multiprocessing.get_context("fork").Process(
            target=search_into, args=(path, config, self.target, self.lines), daemon=True)
        self.child.start()

    def finish(self, log):
        self.child.join()
        with open(self.lines, encoding="utf-8") as file:
            for line in file:
                log("source: " + line.rstrip("\n"), "tracking")
        if self.child.exitcode != 0:
            raise SystemExit("labelling the source failed (%d)" % self.child.exitcode)
        with open(self.target, encoding="utf-8") as file:
            return json.load(file)


def stages(config, found, args):
    blind = [c for c in config["classes"] if c != "person"]
    tracking = {"enabled": True, "status": "completed", "degraded": bool(blind),
                "backend": "cv2", "labels": args.labels, "moving_camera": found["moving_camera"],
                "classes_not_covered": blind}
    if blind:
        tracking["reason"] = "local profile: only people are recognised"
    resolution = {"enabled": args.super_resolution, "degraded": args.super_resolution,
                  "status": "completed" if args.super_resolution else "disabled"}
    if args.super_resolution:
        resolution["reason"] = "local profile: twice the size with a Lanczos filter, no new detail"
    return {
        "super_resolution": resolution,
        "tracking": tracking,
        "vlm_json": {"enabled": False, "status": "disabled", "degraded": False,
                     "reason": "local profile: no vision-language model"},
        "mcq_generation": {"enabled": True, "status": "completed", "degraded": True,
                           "reason": "local profile: only what can be measured is answered"},
    }


def write_scene(args, source, config, found, detected, reference, log):
    stem, date = os.path.splitext(os.path.basename(source))[0], scene.today()
    extension = scene.keep_media(source, args.out, stem)

    def put(kind, path, payload):
        scene.write_json(os.path.join(args.out, path), scene.stamped(kind, date, payload))

    put("instances", "contextual/instances.json", {"instances": scene.instances(found["tracks"])})
    put("objects", "contextual/objects.json", scene.objects(found, stem))
    put("video", "contextual/video.json", scene.video(found, stem, extension))
    side = os.path.join(args.out, "sidecars")
    if reference is not None:
        put("objects", "sidecars/reference_objects.json", scene.objects(reference, stem))
        if args.labels == "transfer":
            put("objects", "sidecars/detected_objects.json", scene.objects(detected, stem))
    os.makedirs(side, exist_ok=True)
    scene.overlay(source, found, os.path.join(side, stem + "_tracking.mp4"),
                  config["encoder"])
    log("wrote %s_tracking.mp4" % stem)
    if args.super_resolution:
        scene.upscaled(source, os.path.join(side, "sr_output.mp4"), config["encoder"],
                       config["threads"])
        log("wrote sr_output.mp4", "sr")
    scene.write_json(os.path.join(side, "pipeline_status.json"),
                     scene.status(stages(config, found, args)))
    # JSON is YAML; the name is the one that readers of a scene expect
    scene.write_json(os.path.join(args.out, "config.yaml"), dict(config, labels=args.labels))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--config", required=True, help="label.json of the run")
    parser.add_argument("--video", required=True, help="video, or a folder with one")
    parser.add_argument("--out", required=True)
    parser.add_argument("--reference", help="source of the video")
    parser.add_argument("--labels", choices=("detect", "transfer"), default="detect")
    parser.add_argument("--super-resolution", action="store_true")
    args = parser.parse_args()
    with open(args.config, encoding="utf-8") as file:
        config = json.load(file)
    cv2.setNumThreads(1)  # two processes run side by side, and one thread gives the same hits
    source = os.path.abspath(augment.first_video(args.video))
    log = Log(os.path.join(args.out, "logs"))
    log("labelling %s" % os.path.basename(source))
    with tempfile.TemporaryDirectory(prefix="pai-vda-") as scratch:
        other = None
        if args.reference:
            path = augment.first_video(args.reference)
            other = Reference(path, config, scratch)
        detected = search(source, config, lambda text: log(text, "tracking"))
        reference = other.finish(log) if other else None
    found = detected
    if args.labels == "transfer":
        if reference is None:
            raise SystemExit("--labels transfer needs --reference")
        found = reference
    write_scene(args, source, config, found, detected, reference, log)
    log("%d tracks, %d boxes" % (len(found["tracks"]),
                                 sum(len(t["boxes"]) for t in found["tracks"])))


if __name__ == "__main__":
    main()
