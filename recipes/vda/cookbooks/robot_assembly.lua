-- A cell in which a robot arm assembles parts, seen from close by.
local bank = require("vda.bank")

local LIGHT <const> = { "bright", "moderate", "dim" }

return {
  name = "robot_assembly",
  title = "Robot assembly",
  camera = "fixed, close, on the work piece of an assembly cell",
  why = "the light is the only thing that may change; ask for more augmentations instead",
  scenario_info = "INDOOR_ROBOT_ASSEMBLY",
  variables = {
    { name = "lighting", values = { { "bright", 0.35 }, { "moderate", 0.35 }, { "dim", 0.30 } } },
  },
  classes = { "person" },
  max_age = 30,
  frame_fps = 6,
  caption_fps = 4,
  traps = {
    "COCO knows no robot arm",
    "the arm touches the work piece all the time: that is its work",
    "metal shows reflections",
  },
  events = {
    collision = { "arm_workpiece_contact", "component_drop" },
    near_miss = { "near_miss_arm", "human_zone_intrusion" },
    anomaly = { "arm_malfunction", "misalignment" },
    normal_traffic = { "normal_assembly", "arm_idle" },
  },
  questions = {
    bank.yes_no("1_1", "Does the arm hit something that it should not?"),
    bank.yes_no("1_2", "Is a part dropped?"),
    bank.choice("1_10", "What was hit or dropped?", {
      "the work piece",
      "a tool",
      "the fixture",
      "something else",
    }, { include_if_any = { ["1_1"] = "Yes", ["1_2"] = "Yes" } }),
    bank.drawn("2_1", "How is the cell lit?", "lighting", LIGHT),
    bank.yes_no("4_1", "Does the arm stop or jerk in mid-movement?"),
    bank.yes_no("4_2", "Is a part set out of line?"),
    bank.yes_no("4_3", "Is a person inside the workspace?", { measure = { people = { 0 } } }),
    bank.choice("5_1", "What does the arm do?", { "it rests", "it moves", "it joins parts" }),
    bank.yes_no("5_2", "Does the arm hold a part?"),
    bank.yes_no("5_3", "Is a finished piece in the picture?"),
  },
}
