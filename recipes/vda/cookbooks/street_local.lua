-- A street or campus by day from a fixed camera: the scene of the local demo. It draws conditions
-- that classical filters show well and that no scene of the cluster has.
local bank = require("vda.bank")

local WEATHER <const> = { "clear", "overcast", "rain", "fog", "snow" }
local TIME <const> = { "morning", "midday", "evening", "night" }
local PEOPLE <const> = { "quiet (fewer than 3 people)", "moderate (3 to 7)", "busy (more than 7)" }

return {
  name = "street_local",
  title = "Street, local profile",
  camera = "fixed, above a street, a square or a campus",
  why = "everything that a colour cube, haze, particles and sensor noise can show",
  scenario_info = "OUTDOOR_STREET",
  variables = {
    {
      name = "weather",
      values = {
        { "clear", 0.2 },
        { "overcast", 0.2 },
        { "rain", 0.2 },
        { "fog", 0.2 },
        { "snow", 0.2 },
      },
    },
    {
      name = "time_of_day",
      values = { { "morning", 0.25 }, { "midday", 0.25 }, { "evening", 0.25 }, { "night", 0.25 } },
    },
    { name = "camera", values = { { "clean", 0.7 }, { "noise", 0.3 } } },
  },
  classes = { "person" },
  max_age = 30,
  frame_fps = 3,
  caption_fps = 4,
  traps = {
    "people who never move belong to the background",
    "haze follows the height in the picture, which is wrong indoors and for faces",
  },
  events = {
    normal_traffic = { "pedestrian_flow" },
  },
  questions = {
    bank.drawn("2_1", "What is the weather?", "weather", WEATHER),
    bank.drawn("2_2", "What time of day does the light suggest?", "time_of_day", TIME),
    bank.crowd("5_1", "How many people are about?", PEOPLE, { 2, 7 }),
    bank.yes_no("5_2", "Is anybody in the picture?", { measure = { people = { 0 } } }),
    bank.yes_no("5_3", "Does anybody run?"),
  },
}
