"""Raw frames of a made-up street, for test clips: PATH WIDTH HEIGHT FRAMES."""

import sys

import cv2
import numpy as np

path, w, h, n = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])
rng = np.random.RandomState(1)
base = np.zeros((h, w, 3), np.float32)
base[: h // 4] = (150, 120, 100)
base[h // 4:] = (70, 110, 40)
road = np.array([[0, h // 2], [w, h // 3], [w, h * 4 // 5], [0, h * 3 // 4]])
cv2.fillPoly(base, [road], (135, 135, 140))
for x in range(0, w, 24):
    cv2.rectangle(base, (x, h // 16), (x + 12, h // 6), (70, 50, 45), -1)
base += cv2.GaussianBlur(rng.normal(0, 30, (h, w)), (0, 0), 1.0)[..., None].astype(np.float32)
base += rng.normal(0, 5, (h, w, 1)).astype(np.float32)
with open(path, "wb") as out:
    for i in range(n):
        frame = base.copy()
        for k, y in enumerate((h // 2, h * 3 // 5)):
            x = (20 + 70 * k + 4 * i) % (w - 20)
            cv2.rectangle(frame, (x, y - h // 6), (x + h // 20, y), (30, 25, 40), -1)
        out.write(np.clip(frame, 0, 255).astype(np.uint8).tobytes())
