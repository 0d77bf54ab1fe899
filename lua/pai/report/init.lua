-- A run as one HTML file that opens from disk: verdict, evidence, gates, timeline, inputs, files.
-- It asks the network for nothing and runs no script; its policy forbids both.
local crypto = require("pai.crypto")
local err = require("pai.err")
local fs = require("pai.fs")
local given = require("pai.report.given")
local html = require("pai.report.html")
local journal = require("pai.report.journal")
local media = require("pai.report.media")
local parts = require("pai.report.parts")
local sections = require("pai.report.sections")
local style = require("pai.report.style")

local el = html.element

local M = {}

---@class pai.Report what a recipe's `report` returns
---@field title? string
---@field notices? string[]
---@field sections? table[] { title, kind = "table"|"media"|"text"|"bars", ... }
---@field path? string where the page goes; report.html in the run's folder if not given

local function policy()
  local digest = crypto.sha256(style):gsub("%x%x", function(hex)
    return string.char(tonumber(hex, 16))
  end)
  return "default-src 'none'; img-src data:; media-src data:; base-uri 'none'; form-action 'none'; "
    .. ("style-src 'sha256-%s'"):format(crypto.base64_encode(digest))
end

local function head(title)
  return el(
    "head",
    {},
    el("meta", { charset = "utf-8" }),
    el("meta", { ["http-equiv"] = "Content-Security-Policy", content = policy() }),
    el("meta", { name = "viewport", content = "width=device-width, initial-scale=1" }),
    el("meta", { name = "referrer", content = "no-referrer" }),
    el("title", {}, title),
    el("style", {}, html.raw(style))
  )
end

local function page_header(run, title, links)
  local start, items = run.start, {}
  for i, link in ipairs(links) do
    items[i] = el("a", { href = "#" .. link.id }, link.title)
  end
  local when = tostring(start.t or ""):gsub("T", " "):gsub("%.%d+Z$", " UTC")
  local about =
    { start.recipe, run.id, when, start.host, start.version and "pai " .. start.version }
  local known = {}
  for i = 1, 5 do
    if about[i] and about[i] ~= "" then
      known[#known + 1] = tostring(about[i])
    end
  end
  return el(
    "header",
    {},
    el(
      "div",
      {},
      el("div", { class = "head" }, el("h1", {}, title), parts.pill(run.status, "big")),
      el("p", { class = "soft small" }, table.concat(known, "  ·  ")),
      el("nav", { ["aria-label"] = "Contents" }, items)
    )
  )
end

local TAIL = {
  { "gates", "Gates" },
  { "timeline", "Timeline" },
  { "steps", "Step results" },
  { "inputs", "Inputs" },
  { "files", "Files" },
  { "log", "Log" },
}

-- The run's own list of media, for a recipe that reports none.
local function sections_of(run, report)
  local list = report.sections or {}
  for _, part in ipairs(list) do
    if part.kind == "media" then
      return list
    end
  end
  if #run.media == 0 then
    return list
  end
  return { { title = "Media", kind = "media", items = run.media }, table.unpack(list) }
end

local function page(run, report, run_dir)
  local title = report.title or run.start.title or run.start.recipe or run.id
  local shelf = media.shelf()
  local reported, links = given.render(sections_of(run, report), shelf)
  local rest = {}
  for _, entry in ipairs(TAIL) do
    local node = sections[entry[1]](run)
    if node then
      rest[#rest + 1] = node
      links[#links + 1] = { id = entry[1], title = entry[2] }
    end
  end
  local more = run.status ~= "green" and (" To go on: pai resume " .. run.id) or ""
  return el(
    "html",
    { lang = "en" },
    head(title),
    el(
      "body",
      {},
      el("a", { class = "skip", href = "#main" }, "Skip to the content"),
      page_header(run, title, links),
      el(
        "main",
        { id = "main" },
        sections.notices(report.notices or {}),
        sections.verdict(run),
        sections.tiles(run),
        reported,
        rest
      ),
      el(
        "footer",
        {},
        el(
          "div",
          {},
          el("p", {}, "Journal: ", el("code", {}, fs.join(run_dir, "journal.jsonl"))),
          el("p", {}, ("To see it again: pai runs show %s.%s"):format(run.id, more))
        )
      )
    )
  )
end

---Draws the report of a run.
---@param run_dir string the run's folder, with its journal.jsonl
---@param report? pai.Report what the recipe reports
---@return string? path of the page
---@return pai.Error? err
function M.render(run_dir, report)
  report = report or {}
  local run, failure = journal.read(fs.join(run_dir, "journal.jsonl"))
  if not run then
    return nil, failure
  end
  if not run.start.run then
    return nil, err.new("EPARSE", ("the journal in %q has no run.start line"):format(run_dir))
  end
  local path = report.path or fs.join(run_dir, "report.html")
  local text = "<!doctype html>\n" .. page(run, report, run_dir).html .. "\n"
  local made, mkdir_failure = fs.mkdir(fs.dirname(path), { parents = true })
  if not made then
    return nil, mkdir_failure
  end
  local written, write_failure = fs.write(path, text)
  if not written then
    return nil, write_failure
  end
  return path
end

return M
