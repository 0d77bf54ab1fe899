-- pai scan, secretlint and ripgrep over one corpus that is made here: transcripts as JSON Lines and
-- as text, with labelled credentials and labelled look-alikes. Ripgrep gets pai's own expressions,
-- which is what they find without escapes undone, entropy and allow-lists. Wall time of the whole
-- command; the peers' time for one line is taken off, so that starting does not count.
local examples = dofile("tests/spec/scan/examples.lua")
local bench = dofile("tests/bench/bench.lua")
local exec = require("pai.exec")
local fs = require("pai.fs")
local json = require("pai.json")
local task = require("pai.task")

local MODULES <const> = fs.abspath("vendor/npm-bench/node_modules")
local SECRETLINT <const> = MODULES .. "/.bin/secretlint"
local MEGABYTES <const> = 64
local PEER_MEGABYTES <const> = 2 -- the beginning of the same text: the peers need seconds for it
local ROUNDS <const> = 3

local rules = require("pai.scan.rules").all()
local dir <close> = setmetatable({ path = fs.tempdir({ prefix = "pai-bench-" }) }, {
  __close = function(d)
    fs.remove(d.path, { recursive = true })
  end,
})

-- Secretlint takes files and rules below its working directory only.
assert(fs.symlink(MODULES, dir.path .. "/node_modules"))

-- Prose, code and log lines; about one line in twenty holds a word that a rule is looked up by.
local LINES <const> = {
  "The worker reads the clip and writes its frames; the queue is empty now.",
  "  for (int i = 0; i < count; i++) total += sizes[i] * scale;",
  "2026-11-02T03:04:05Z INFO step 17/40: 3 pods ready, 1 pending, node gpu-2 ok",
  "| name | value | unit |",
  "local model = loader.open(path, { device = 0, batch = 16 })",
  "    return json.dumps(result, indent=2)",
  "error: cannot open shared object file: No such file or directory",
  "See https://docs.example.org/guide/install.html for the steps.",
  "NAME      READY   STATUS    RESTARTS   AGE",
  "osmo-worker-7f9c4d-x2x9p   1/1   Running   0   3m12s",
  "That took 42 seconds, which is within the limit.",
  "def read_frames(video, size=(640, 480), rate=30):",
  "spec: { containers: [ { name: main, image: ubuntu:22.04 } ] }",
  "It uses 12 tokens of the window.",
  "commit 2f1c9d0 Fix the border of the last block",
  "",
  "#include <stdint.h>",
  "+  assert.equal(3, #list)",
  "diff --git a/lib/a.c b/lib/a.c",
  "Done. Next I will look at the second file and run the checks again.",
}

local g = examples.generator(os.time())

-- A block of about 60 lines.
local function prose(n)
  local out = {}
  for i = 1, n do
    out[i] = LINES[(i * 7 + tonumber(g("digits", 2)) * 13) % #LINES + 1]
  end
  return table.concat(out, "\n")
end

-- One record of a transcript: as JSON Lines or as it stands.
local function record(text, escaped)
  local message = { type = "assistant", message = { content = { { type = "text", text = text } } } }
  return (escaped and json.encode(message) or (text:gsub("\n\n+", "\n"))) .. "\n"
end

-- A file whose line n is record n. labels[n]: a rule's id, or false for a look-alike.
local function labelled()
  local parts, labels = {}, {}
  for _, rule in ipairs(rules) do
    local example = examples.rules[rule.id]
    for seed = 1, 5 do
      local text = examples.unmark(example.yes[1](examples.generator(seed * 31 + #labels)))
      labels[#labels + 1] = rule.id
      parts[#parts + 1] = record(prose(3) .. "\n" .. text .. "\n" .. prose(3), true)
    end
    for i, no in ipairs(example.no) do
      labels[#labels + 1] = false
      parts[#parts + 1] = record(prose(3) .. "\n" .. no(examples.generator(i)) .. "\n", true)
    end
  end
  return table.concat(parts), labels
end

local function bulk(escaped)
  local part = {}
  for i = 1, 400 do
    part[i] = record(prose(40), escaped)
  end
  local text = table.concat(part)
  return text:rep(MEGABYTES * 1000000 // #text + 1)
end

local function put(name, text)
  assert(fs.write(dir.path .. "/" .. name, text, { sync = false }))
  return dir.path .. "/" .. name
end

-- Seconds of a command: the least and the median.
local function timed(argv)
  local all = {}
  for i = 1, ROUNDS do
    local before = task.now()
    local r, e =
      exec.run(argv, { cwd = dir.path, accept = { 0, 1 }, timeout = "10m", max_output = 0 })
    assert(r, e and e.message)
    all[i] = (task.now() - before) / 1000
  end
  local median = bench.median(all)
  return all[1], median
end

-- Through a file: secretlint ends before a pipe has taken all that it prints.
local function output(argv)
  local path = dir.path .. "/out"
  local how = { cwd = dir.path, accept = { 0, 1 }, timeout = "10m", stdout = { file = path } }
  assert(exec.run(argv, how))
  return assert(fs.read(path))
end

local patterns = {}
for i, rule in ipairs(rules) do
  patterns[i] = rule.pattern
end
local pattern_file = put("patterns", table.concat(patterns, "\n") .. "\n")
local config = put(
  "secretlint.json",
  json.encode({
    rules = { { id = "@secretlint/secretlint-rule-preset-recommend" } },
  })
)

local corpus, labels = labelled()

-- Each tool: its command, and the set of lines of a JSON Lines file in which it finds something.
local TOOLS <const> = {
  {
    name = "pai scan",
    argv = { pai.exe, "scan", "--json" },
    lines = function(text, lines)
      for _, f in ipairs(json.decode(text).findings) do
        lines[f.line] = true
      end
    end,
  },
  {
    name = "ripgrep -P, the same rules",
    argv = { "rg", "-P", "-n", "--no-config", "--only-matching", "-f", pattern_file, "--" },
    lines = function(text, lines)
      for number in text:gmatch("[^\n]+") do
        lines[tonumber(number:match("^%d+")) or 0] = true
      end
    end,
  },
  {
    name = "secretlint, recommended rules",
    needs = SECRETLINT,
    argv = { SECRETLINT, "--secretlintrc", config, "--format", "json", "--no-color" },
    lines = function(text, lines)
      for _, message in ipairs((json.decode(text)[1] or {}).messages or {}) do
        local place = message.range and message.range[1] -- the corpus is ASCII
        if place then
          local _, before = corpus:sub(1, place):gsub("\n", "")
          lines[before + 1] = true
        end
      end
    end,
  },
}

local corpus_path = put("labelled.jsonl", corpus)
local small = put("small.txt", "nothing\n")
local inputs = {}
for i, escaped in ipairs({ false, true }) do
  local text = bulk(escaped)
  local part = text:sub(1, PEER_MEGABYTES * 1000000)
  inputs[i] = {
    escaped and "JSON Lines" or "text",
    put("bulk." .. i, text),
    put("part." .. i, part:match("^.*\n")),
  }
end

local function with(argv, path)
  local all = table.move(argv, 1, #argv, 1, {})
  all[#all + 1] = path
  return all
end

local function quality(tool)
  local lines = {}
  tool.lines(output(with(tool.argv, corpus_path)), lines)
  local hits, positives, alarms, negatives = 0, 0, 0, 0
  for i, label in ipairs(labels) do
    if label then
      positives, hits = positives + 1, hits + (lines[i] and 1 or 0)
    else
      negatives, alarms = negatives + 1, alarms + (lines[i] and 1 or 0)
    end
  end
  local recall = ("%d of %d found"):format(hits, positives)
  bench.row(tool.name .. ", recall", ("%.1f %%"):format(100 * hits / positives), recall)
  local detail = ("%d of %d look-alikes"):format(alarms, negatives)
  bench.row(tool.name .. ", false positives", ("%.1f %%"):format(100 * alarms / negatives), detail)
end

for _, tool in ipairs(TOOLS) do
  if tool.needs and not fs.exists(tool.needs) then
    bench.row(tool.name, "-", "not installed (vendor/install bench)")
  else
    quality(tool)
    local start = timed(with(tool.argv, small))
    for _, input in ipairs(inputs) do
      local path = tool.name == "pai scan" and input[2] or input[3]
      local size = fs.stat(path).size / 1e6
      local least, median = timed(with(tool.argv, path))
      local function rate(seconds)
        return ("%.1f MB/s"):format(size / math.max(seconds - start, 0.001))
      end
      local detail = ("median %s; %.0f MB; start %.0f ms"):format(rate(median), size, start * 1000)
      bench.row(tool.name .. ", " .. input[1], rate(least), detail)
    end
  end
end
