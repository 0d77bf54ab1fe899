-- A large junction with signals, seen from a fixed camera three or four storeys up.
local bank = require("vda.bank")

local WEATHER <const> = { "clear", "overcast", "rain" }
local TIME <const> = { "morning", "midday", "evening" }
local PEOPLE <const> = { "quiet (fewer than 3 people)", "moderate (3 to 7)", "busy (more than 7)" }

return {
  name = "city_traffic",
  title = "City traffic",
  camera = "fixed, high, above a large junction with signals and an overpass",
  why = "no snow, because the trees are green; no night, because the source is filmed by day; "
    .. "nothing that adds or removes objects",
  scenario_info = "URBAN_INTERSECTION",
  variables = {
    { name = "weather", values = { { "clear", 0.35 }, { "overcast", 0.35 }, { "rain", 0.30 } } },
    {
      name = "time_of_day",
      values = { { "morning", 0.35 }, { "midday", 0.35 }, { "evening", 0.30 } },
    },
  },
  classes = { "car", "truck", "bus", "motorcycle", "bicycle", "person" },
  max_age = 60,
  frame_fps = 6,
  caption_fps = 4,
  traps = {
    "the overpass throws a shadow that is no event",
    "signals are often out of sight, so red-light alarms are often false",
    "scooters pass between the lanes as a matter of course",
    "five to ten seconds inside the junction are normal",
  },
  events = {
    collision = { "vehicle_collision", "vehicle_pedestrian_contact" },
    near_miss = { "near_miss_vehicles", "abrupt_braking", "jaywalking_pedestrian" },
    anomaly = { "red_light_violation", "illegal_turn" },
    normal_traffic = { "through_traffic", "turning_traffic", "pedestrian_crossing" },
  },
  questions = {
    bank.yes_no("1_1", "Do a vehicle and another vehicle or a person touch?"),
    bank.yes_no("1_2", "Do two road users come so close that one must brake or turn away?"),
    bank.choice("1_10", "What touches what?", {
      "two vehicles",
      "a vehicle and a person",
      "a vehicle and a bicycle or motorcycle",
      "a vehicle and a fixed object",
    }, { include_if = { ["1_1"] = "Yes" } }),
    bank.drawn("2_1", "What is the weather?", "weather", WEATHER),
    bank.drawn("2_2", "What time of day does the light suggest?", "time_of_day", TIME),
    bank.yes_no("4_1", "Does a vehicle cross against a red signal that can be seen?"),
    bank.yes_no("4_2", "Does a person cross outside of a crossing?"),
    bank.choice("4_3", "What stands still where traffic should flow?", {
      "nothing",
      "one vehicle",
      "a queue",
    }),
    bank.crowd("5_1", "How many people are about?", PEOPLE, { 2, 7 }),
    bank.yes_no("5_2", "Is a bus or truck in the picture?"),
    bank.yes_no("5_3", "Is a vehicle turning in the junction?"),
  },
}
