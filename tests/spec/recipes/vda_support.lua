-- What the specs of the VDA recipe share: its modules, test clips, and its task scripts.
package.path = "recipes/?.lua;" .. package.path

local crypto = require("pai.crypto")
local exec = require("pai.exec")
local fs = require("pai.fs")
local json = require("pai.json")
local sample = require("vda.sample")
local video = require("vda.video")

local M = {}

local STREET <const> = fs.abspath(fs.cwd() .. "/tests/spec/recipes/vda_street.py")

M.PYTHON = "/usr/bin/python3"
M.TASK = fs.abspath(fs.cwd() .. "/recipes/vda/task")

---Runs a command; fails with its messages.
---@param argv string[]
---@param opts table?
---@return table result
function M.run(argv, opts)
  opts = opts or {}
  opts.timeout = opts.timeout or "300s"
  local r, e = exec.run(argv, opts)
  assert(r, e and tostring(e) .. "\n" .. (e.stderr or "") .. (e.stdout or ""))
  return r
end

local programs

---Runs a Python program that uses OpenCV, which is loaded once for all of them.
---@param argv string[] the program's path and its arguments
---@return integer code
---@return string said
function M.program(argv)
  if not programs then
    local driver = fs.abspath(fs.cwd() .. "/tests/spec/recipes/vda_programs.py")
    programs = assert(exec.start({ M.PYTHON, "-B", driver }, { stdin = "pipe", stderr = "stdout" }))
  end
  assert(programs:write(json.encode(json.array(argv)) .. "\n"))
  local line = assert(programs:read_line("300s"))
  local answer = assert(json.decode(line), line)
  return answer.code, answer.said
end

---Runs a script of the tasks; fails with its messages.
---@param script string
---@param args string[]
function M.python(script, args)
  local argv = { M.TASK .. "/" .. script }
  table.move(args, 1, #args, #argv + 1, argv)
  local code, said = M.program(argv)
  assert(code == 0, said)
end

---Draws of a cookbook.
---@param cookbook string
---@param index integer
---@param seed integer
---@param name string? of the video
---@return vda.Draw
function M.draw(cookbook, index, seed, name)
  local variables = require("vda.cookbooks." .. cookbook).variables
  return sample.draw(variables, crypto.sha256(sample.key("vda-demo", name or "vtest", index, seed)))
end

---What ffprobe says, through the recipe's own eyes.
---@param path string
---@return vda.Video? video
---@return string? why
function M.describe(path)
  return video.describe(json.decode(M.run(video.probe_command(path)).stdout))
end

---Makes the clip of a video as the recipe does.
---@param from string
---@param to string
---@param seconds integer
---@return vda.Video
function M.normalise(from, to, seconds)
  local found = assert(M.describe(from))
  M.run(video.normalise_command(found, from, to, { seconds = seconds, codec = "vp9" }))
  return assert(M.describe(to))
end

---The demo video, through the recipe's own way to it: it is fetched when it is nowhere.
---@param dir string a folder for the download
---@return string path
function M.demo(dir)
  local demo = require("vda.demo")
  local home = assert(os.getenv("HOME"))
  local inp = { cache = os.getenv("PAI_DEMO_CACHE") or home .. "/.cache/pai" }
  return demo.fetch(M.ctx({ dir = dir }), inp)
end

-- The part of ctx that the recipe's modules use, without a run around it.
local function files()
  local t = {}
  for _, name in ipairs({ "exists", "list", "glob", "dirname", "basename", "join", "rename" }) do
    t[name] = fs[name]
  end
  function t.stat(path)
    return (fs.stat(path))
  end
  function t.mkdir(path)
    return assert(fs.mkdir(path, { parents = true }))
  end
  function t.copy(from, to)
    return assert(fs.copy(from, to))
  end
  function t.remove(path, opts)
    return assert(fs.remove(path, opts))
  end
  function t.digest(path)
    return assert(crypto.file_sha256(path))
  end
  function t.disk_free(path)
    return assert(fs.disk_free(path))
  end
  return t
end

---A ctx for calling modules of the recipe without a run.
---@param more table? fields that replace or add
---@return table
function M.ctx(more)
  more = more or {}
  local ctx = { run_id = "run-00000000", target = "local", logged = {}, fs = files() }
  ctx.dir = fs.abspath(fs.cwd() .. "/recipes/vda")
  ctx.fs.abspath = fs.abspath
  function ctx.fs.tempdir()
    return assert(fs.tempdir({ dir = more.dir, prefix = "step-" }))
  end
  function ctx.exec(argv, opts)
    return M.run(argv, opts)
  end
  ctx.query = ctx.exec
  function ctx.log(text)
    ctx.logged[#ctx.logged + 1] = text
  end
  function ctx.read(path)
    return assert(fs.read(path))
  end
  function ctx.write(path, text)
    return assert(fs.write(path, text))
  end
  ctx.hash = crypto.sha256
  ctx.json, ctx.yaml = json, require("pai.yaml")
  for key, value in pairs(more) do
    ctx[key] = value
  end
  return ctx
end

---Makes a small clip that looks like a street: sky, grass, a grey road, and dark boxes that walk.
---@param path string
---@param opts { width: integer?, height: integer?, frames: integer?, args: string[]? }?
---@return string path
function M.street(path, opts)
  opts = opts or {}
  local w, h, n = opts.width or 256, opts.height or 192, opts.frames or 20
  local raw = path .. ".raw"
  local code, said = M.program({ STREET, raw, tostring(w), tostring(h), tostring(n) })
  assert(code == 0, said)
  local argv = { "ffmpeg", "-nostdin", "-v", "error", "-y", "-f", "rawvideo", "-pix_fmt", "rgb24" }
  local function add(list)
    table.move(list, 1, #list, #argv + 1, argv)
  end
  add({ "-s", ("%dx%d"):format(w, h), "-r", "10", "-i", raw })
  add(opts.args or { "-c:v", "libx264", "-qp", "10", "-pix_fmt", "yuv420p" })
  add({ path })
  M.run(argv, { timeout = "60s" })
  assert(fs.remove(raw))
  return path
end

---Writes the plan of one augmentation as the recipe does, for a clip.
---@param dir string
---@param clip vda.Video
---@param drawn table<string, string>
---@param opts { seed: integer?, cookbook: string?, rect: table?, frames: integer? }?
---@return table plan
function M.plan(dir, clip, drawn, opts)
  opts = opts or {}
  local variables = require("vda.cookbooks." .. (opts.cookbook or "street_local")).variables
  local rect = opts.rect or { x = 0, y = 0, width = clip.width, height = clip.height }
  local shape = { width = clip.width, height = clip.height, rate = clip.rate, rect = rect }
  local seed = opts.seed or 5
  local plan = assert(require("vda.graph").plan(drawn, shape, seed))
  assert(fs.mkdir(dir, { parents = true }))
  assert(fs.write(dir .. "/grade.cube", plan.cube))
  local use = plan.grade.noise > 0 and "noisy" or "clean"
  assert(fs.write(
    dir .. "/render.json",
    json.encode({
      drawn = drawn,
      options = sample.options(variables),
      seed = seed,
      filter = plan.filter,
      particles = plan.particles,
      tiles = json.array(plan.tiles),
      rect = rect,
      rate = clip.rate,
      frames = opts.frames or clip.frames,
      threads = video.THREADS,
      codec = "vp9",
      encoder = video.encoder("vp9", use),
      input_path = "input",
      output_path = "output",
    })
  ))
  return plan
end

---Renders one augmentation; returns its metadata.
---@param dir string work folder
---@param path string the clip
---@param drawn table<string, string>
---@param opts table? as of M.plan, and `clip`: what M.describe says of it
---@return table metadata
---@return string result path
function M.render(dir, path, drawn, opts)
  local clip = opts and opts.clip or assert(M.describe(path))
  M.plan(dir .. "/plan", clip, drawn, opts)
  M.python("augment.py", { "--plan", dir .. "/plan", "--video", path, "--out", dir .. "/out" })
  local metadata = assert(json.decode(assert(fs.read(dir .. "/out/metadata.json"))))
  return metadata, dir .. "/out/augmented_video.mp4"
end

---Writes label.json for the label script.
---@param path string
---@param classes string[]?
---@return string path
function M.label_config(path, classes)
  classes = classes or { "person" }
  local config = {
    classes = classes,
    unknown = #classes > 1,
    max_age = 30,
    rate = "10/1",
    encoder = video.encoder("vp9", "clean"),
    threads = video.THREADS,
  }
  assert(fs.write(path, json.encode(config)))
  return path
end

---A JSON file.
---@param path string
---@return any
function M.read_json(path)
  return assert(json.decode(assert(fs.read(path))))
end

---Fails unless a label scene is all that one must be, whatever is in it; returns its objects.
---@param scene string
---@param stem string name of the video in it
---@param width integer
---@param height integer
---@return table
function M.check_scene(scene, stem, width, height)
  local schema = require("vda.schema")
  local function none(complaints)
    assert(#complaints == 0, scene .. ": " .. table.concat(complaints, "\n"))
  end
  local function read(path)
    return M.read_json(scene .. "/" .. path)
  end
  local instances = read("contextual/instances.json")
  local context = { width = width, height = height, instances = instances.instances }
  none(schema.check("instances", instances, context))
  local objects = read("contextual/objects.json")
  none(schema.check("objects", objects, context))
  local about = read("contextual/video.json")
  none(schema.check("video", about, context))
  assert(about.video_id == stem, about.video_id)
  none(schema.check_status(read("sidecars/pipeline_status.json")))
  for _, path in ipairs({
    ("raw/%s.mp4"):format(stem),
    ("sidecars/%s_tracking.mp4"):format(stem),
    "logs/pipeline.log",
    "logs/tracking.log",
    "config.yaml",
  }) do
    assert(fs.exists(scene .. "/" .. path), path .. " is missing in " .. scene)
  end
  return objects
end

return M
