-- A square with cafés, seen from a fixed camera two or three storeys up.
local bank = require("vda.bank")

local WEATHER <const> = { "clear", "overcast", "rain" }
local TIME <const> = { "morning", "midday", "evening" }
local PEOPLE <const> = { "quiet (fewer than 3 people)", "moderate (3 to 7)", "busy (more than 7)" }

return {
  name = "piazza",
  title = "Piazza",
  camera = "fixed, high, above a square with café tables under canopies",
  why = "no snow: a Mediterranean square; no night, because the source is filmed by day",
  scenario_info = "OUTDOOR_PIAZZA",
  variables = {
    { name = "weather", values = { { "clear", 0.35 }, { "overcast", 0.35 }, { "rain", 0.30 } } },
    {
      name = "time_of_day",
      values = { { "morning", 0.35 }, { "midday", 0.35 }, { "evening", 0.30 } },
    },
  },
  classes = { "person", "motorcycle" },
  max_age = 30,
  frame_fps = 3,
  caption_fps = 4,
  traps = {
    "canopies hide a third of the diners",
    "COCO knows no scooter",
  },
  events = {
    collision = { "motorcycle_pedestrian_contact", "pedestrian_collision" },
    near_miss = { "near_miss_motorcycle", "pedestrian_close_call" },
    anomaly = { "erratic_motorcycle", "pathway_obstruction" },
    normal_traffic = { "pedestrian_flow", "outdoor_dining", "motorcycle_parking" },
  },
  questions = {
    bank.yes_no("1_1", "Does a motorcycle touch a person, or do two people collide?"),
    bank.yes_no("1_2", "Does a person have to step aside to avoid being hit?"),
    bank.choice("1_10", "What touches what?", {
      "a motorcycle and a person",
      "two people",
      "a person and furniture",
      "something else",
    }, { include_if = { ["1_1"] = "Yes" } }),
    bank.drawn("2_1", "What is the weather?", "weather", WEATHER),
    bank.drawn("2_2", "What time of day does the light suggest?", "time_of_day", TIME),
    bank.yes_no("4_1", "Is a motorcycle moving on the square?"),
    bank.yes_no("4_2", "Does it move erratically?", { include_if = { ["4_1"] = "Yes" } }),
    bank.choice("4_3", "What blocks the way?", { "nothing", "a thing", "a group of people" }),
    bank.crowd("5_1", "How busy is the square?", PEOPLE, { 2, 7 }),
    bank.yes_no("5_2", "Are guests sitting at the tables?"),
    bank.yes_no("5_3", "Is a waiter serving?"),
  },
}
