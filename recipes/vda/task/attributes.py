"""Attribute verification by measurement: did the picture change as the drawn values say?

Every value has ranges for what it does to brightness, contrast, fine detail and warmth, taken from
renders of three real clips. A value passes when the measured change fits it and no other value of
its variable would explain the change as well; where another one would, it is not measurable. This
says whether the filter did what was asked, which is weaker than an opinion that it looks right.
"""

SLACK = 0.10  # how far outside its range a measured ratio may lie
WARM_SLACK = 0.025
PARTICLES = 0.15  # loss of motion score that only falling particles explain

# luma, contrast and detail are ratios to the source, warmth a difference
SAME = {"luma": (0.97, 1.03), "contrast": (0.97, 1.03), "detail": (0.93, 1.05),
        "warmth": (-0.01, 0.01)}
RANGES = {
    "time_of_day": {
        "morning": {"luma": (1.0, 1.08), "contrast": (0.86, 0.97), "detail": (0.85, 1.02),
                    "warmth": (0.015, 0.06)},
        "midday": {"luma": (1.0, 1.10), "contrast": (1.02, 1.15), "detail": (1.0, 1.15),
                   "warmth": (-0.02, 0.03)},
        "evening": {"luma": (0.71, 0.76), "contrast": (1.10, 1.20), "detail": (0.70, 0.82),
                    "warmth": (0.08, 0.13)},
        "dusk": {"luma": (0.55, 0.64), "contrast": (1.05, 1.25), "detail": (0.50, 0.72),
                 "warmth": (-0.09, 0.0)},
        "night": {"luma": (0.40, 0.45), "contrast": (1.20, 1.40), "detail": (0.38, 2.0),
                  "warmth": (-0.10, -0.01)},
    },
    "weather": {
        "clear": SAME,
        "overcast": {"luma": (1.05, 1.22), "contrast": (0.67, 0.80), "detail": (0.72, 0.88),
                     "warmth": (-0.07, 0.01)},
        "rain": {"luma": (1.02, 1.20), "contrast": (0.52, 0.73), "detail": (0.80, 1.6),
                 "warmth": (-0.09, 0.01)},
        "fog": {"luma": (1.30, 1.84), "contrast": (0.26, 0.46), "detail": (0.25, 0.52),
                "warmth": (-0.10, 0.02)},
        "snow": {"luma": (1.27, 1.85), "contrast": (0.25, 0.48), "detail": (0.55, 1.05),
                 "warmth": (-0.11, 0.02)},
    },
    "lighting": {
        "bright": {"luma": (1.04, 1.12), "contrast": (1.0, 1.08), "detail": (0.98, 1.12),
                   "warmth": (-0.01, 0.01)},
        "moderate": SAME,
        "dim": {"luma": (0.48, 0.60), "contrast": (1.10, 1.32), "detail": (0.45, 0.62),
                "warmth": (-0.01, 0.04)},
    },
    "surface_condition": {
        "dry": SAME,
        "wet": {"luma": (0.95, 1.03), "contrast": (1.02, 1.09), "detail": (0.88, 1.02),
                "warmth": (-0.01, 0.01)},
    },
}
FALLING = {"rain": True, "snow": True}
HAZY = ("rain", "fog", "snow")
# inside the noise of every clip that was tried
NEVER = {("lighting", "bright"), ("surface_condition", "wet")}
# these change hue or texture, which none of the four features tells apart
SILENT = ("season", "camera")


def expected(drawn):
    """Ranges of all drawn values together."""
    total = {key: SAME[key] if key == "warmth" else (1.0, 1.0) for key in SAME}
    hazy = drawn.get("weather") in HAZY
    for variable, value in drawn.items():
        ranges = RANGES.get(variable, {}).get(value)
        if ranges is None:
            continue
        for key, (low, high) in ranges.items():
            if key == "warmth":
                if hazy and variable != "weather":
                    low, high = sorted((0.3 * low, 0.3 * high))  # haze covers colour
                total[key] = (total[key][0] + low, total[key][1] + high)
            else:
                total[key] = (total[key][0] * low, total[key][1] * high)
    return total


def fits(drawn, measured, loss):
    """Features that contradict the drawn values; empty means that they explain the change."""
    against = []
    for key, (low, high) in expected(drawn).items():
        # sensor noise and softness change fine detail beyond what the ranges know
        if key == "detail" and drawn.get("camera", "clean") != "clean":
            continue
        if key == "warmth":
            inside = low - WARM_SLACK <= measured[key] <= high + WARM_SLACK
        else:
            inside = low * (1 - SLACK) <= measured[key] <= high * (1 + SLACK)
        if not inside:
            against.append(key)
    if FALLING.get(drawn.get("weather"), False) != (loss > PARTICLES):
        against.append("particles")
    return against


def verdict(variable, value, drawn, options, measured, loss):
    if variable in SILENT or value not in RANGES.get(variable, {}):
        return "not_measurable", "no measure tells the values of %s apart" % variable, []
    against = fits(drawn, measured, loss)
    rivals = []
    for other in options:
        if other != value and other in RANGES[variable]:
            if not fits(dict(drawn, **{variable: other}), measured, loss):
                rivals.append(other)
    if against:
        return "failed", "contradicted by " + ", ".join(against), rivals
    if (variable, value) in NEVER:
        return "not_measurable", "the change is no larger than the noise of a clip", rivals
    if rivals:
        return "not_measurable", "also explained by " + ", ".join(sorted(rivals)), rivals
    return "passed", "fits this value and no other", rivals


def verify(drawn, options, measured, loss):
    """Upstream's fields, with the method named."""
    questions, results = [], []
    for variable in sorted(drawn):
        value = drawn[variable]
        choices = options.get(variable, [value])
        state, reason, _ = verdict(variable, value, drawn, choices, measured, loss)
        questions.append({"variable": variable, "options": choices, "expected": value})
        results.append({"variable": variable, "value": value, "result": state, "reason": reason})
    count = {state: sum(1 for r in results if r["result"] == state)
             for state in ("passed", "failed", "not_measurable")}
    return {
        "passed": count["failed"] == 0,
        "method": "measurement",
        "details": {
            "questions": questions,
            "results": results,
            "measured": dict(measured, motion_loss=round(loss, 4)),
            "summary": dict(count, total=len(results)),
        },
    }
