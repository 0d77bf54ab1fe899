-- The view behind a car with a trailer: a moving fisheye camera.
local bank = require("vda.bank")

local WEATHER <const> = { "clear", "overcast", "rain" }
local TIME <const> = { "morning", "midday", "evening" }
local PEOPLE <const> = { "nobody", "one or two", "three or more" }

return {
  name = "trailer_dashcam",
  title = "Trailer dashcam",
  camera = "moving, a rear fisheye whose picture the trailer fills by a third or more",
  why = "no snow and no night: the source shows a green country by day",
  scenario_info = "TRAILER_DASHCAM",
  variables = {
    { name = "weather", values = { { "clear", 0.35 }, { "overcast", 0.35 }, { "rain", 0.30 } } },
    {
      name = "time_of_day",
      values = { { "morning", 0.35 }, { "midday", 0.35 }, { "evening", 0.30 } },
    },
  },
  classes = { "car", "truck", "person", "bicycle", "motorcycle" },
  max_age = 45,
  frame_fps = 6,
  caption_fps = 6,
  traps = {
    "the trailer is tracked as a truck",
    "the fisheye bends everything at the rim",
    "the whole background moves",
  },
  events = {
    collision = { "rear_collision", "backing_contact" },
    near_miss = { "near_miss_following", "near_miss_lane_change", "obstacle_proximity" },
    anomaly = { "trailer_sway", "hitch_issue" },
    normal_traffic = { "normal_towing", "normal_backing" },
  },
  questions = {
    bank.yes_no("1_1", "Does the trailer touch something?"),
    bank.yes_no("1_2", "Does something come dangerously close to the trailer?"),
    bank.choice("1_10", "What was touched or nearly touched?", {
      "a following vehicle",
      "an object while backing",
      "a vehicle beside the trailer",
      "something else",
    }, { include_if_any = { ["1_1"] = "Yes", ["1_2"] = "Yes" } }),
    bank.drawn("2_1", "What is the weather?", "weather", WEATHER),
    bank.drawn("2_2", "What time of day does the light suggest?", "time_of_day", TIME),
    bank.yes_no("4_1", "Does the trailer sway?"),
    bank.yes_no("4_2", "Is something wrong with the hitch?"),
    bank.choice("4_3", "What does the car do?", { "it drives", "it backs up", "it stands" }),
    bank.crowd("5_1", "How many people are near the trailer?", PEOPLE, { 0, 2 }),
    bank.yes_no("5_2", "Is a vehicle following?"),
    bank.yes_no("5_3", "Is the road bent?"),
  },
}
