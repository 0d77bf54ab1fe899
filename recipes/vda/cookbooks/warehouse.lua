-- An indoor building site, seen from a fixed camera at ground level.
local bank = require("vda.bank")

local LIGHT <const> = { "bright", "moderate", "dim" }
local SURFACE <const> = { "dry", "wet" }
local PEOPLE <const> = { "none", "one or two", "three or more" }

return {
  name = "warehouse",
  title = "Warehouse",
  camera = "fixed, at ground level, inside a hall that is being built",
  why = "only two states of the floor can be told apart",
  scenario_info = "INDOOR_WAREHOUSE",
  variables = {
    { name = "lighting", values = { { "bright", 0.35 }, { "moderate", 0.35 }, { "dim", 0.30 } } },
    { name = "surface_condition", values = { { "dry", 0.55 }, { "wet", 0.45 } } },
  },
  classes = { "person" },
  max_age = 45,
  frame_fps = 3,
  caption_fps = 4,
  traps = {
    "COCO knows neither lift nor ladder",
    "columns hide people for one to three seconds",
    "cables lie everywhere and are no event",
  },
  events = {
    collision = { "worker_equipment_contact", "worker_fall" },
    near_miss = { "near_miss_equipment", "near_miss_falling_object" },
    anomaly = { "unsafe_ladder_use", "cable_trip_hazard" },
    normal_traffic = { "normal_construction", "equipment_operation", "worker_transit" },
  },
  questions = {
    bank.yes_no("1_1", "Does equipment touch a worker?"),
    bank.yes_no("1_2", "Does a worker fall?"),
    bank.choice("1_10", "What happened to the worker?", {
      "struck by equipment",
      "fell on the floor",
      "fell from a ladder or lift",
      "something else",
    }, { include_if_any = { ["1_1"] = "Yes", ["1_2"] = "Yes" } }),
    bank.drawn("2_1", "How is the hall lit?", "lighting", LIGHT),
    bank.drawn("2_2", "What is the floor like?", "surface_condition", SURFACE),
    bank.yes_no("4_1", "Is a ladder used in an unsafe way?"),
    bank.yes_no("4_2", "Does a worker stumble over a cable?"),
    bank.choice("4_3", "What does the equipment do?", { "nothing", "it moves", "it lifts a load" }),
    bank.crowd("5_1", "How many people are in the hall?", PEOPLE, { 0, 2 }),
    bank.yes_no("5_2", "Does a worker carry something?"),
    bank.yes_no("5_3", "Is a lift raised?"),
  },
}
