-- pai resume
local args = require("pai.cli.args")

local M = {
  name = "resume",
  summary = "go on with a run that was interrupted or failed",
  usage = "RUN",
  doc = "Finished steps are not repeated. A step that was started and did not end is asked first "
    .. "whether it is already so. A recipe that was changed since stops the resume and is named.",
  options = {
    { name = "accept-changes", doc = "go on although the recipe's files were changed" },
    { name = "plain", doc = "plain lines, also on a terminal" },
  },
  examples = {
    { "pai resume run-1a2b3c4d", "by its id" },
    { "pai resume last", "the run that was worked on last" },
  },
}

---@param words string[]
---@param opts table
---@return integer exit code
function M.run(words, opts)
  args.count(words, 1, 1, "RUN")
  return require("pai.cli.run").streamed(opts, function(open_view)
    local resume = require("pai.run.resume")
    local id, e = resume.find(words[1])
    if not id then
      error(e, 0)
    end
    local code, _, nothing = resume.run(id, {
      open_view = open_view,
      accept_changes = opts.accept_changes,
      prompt = require("pai.cli.view").can_ask(opts),
    })
    if nothing and not opts.json then
      require("pai.out").stdout(("%s ended green; there is nothing to do\n"):format(id))
    elseif nothing then
      require("pai.out").stdout(require("pai.json").encode({
        event = "run.end",
        run = id,
        status = "green",
        code = 0,
        ms = 0,
        reason = "ended green before",
      }) .. "\n")
    end
    return code
  end)
end

return M
