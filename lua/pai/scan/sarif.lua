-- The findings of pai scan as SARIF 2.1.0, which code hosts and editors read.
local json = require("pai.json")

local M = {}

local LEVEL <const> = { high = "error", medium = "warning", low = "note" }

-- A path as a relative reference of RFC 3986; an absolute one as a file: URI.
local function uri(path)
  local escaped = path:gsub("[^A-Za-z0-9/._~-]", function(c)
    return ("%%%02X"):format(c:byte())
  end)
  return path:sub(1, 1) == "/" and "file://" .. escaped or (escaped:gsub("^%./", ""))
end

local function result(finding, index)
  return {
    ruleId = finding.rule,
    ruleIndex = index,
    level = LEVEL[finding.severity],
    message = { text = ("%s, %d bytes"):format(finding.description, finding.length) },
    locations = {
      {
        physicalLocation = {
          artifactLocation = { uri = finding.file == "-" and "stdin" or uri(finding.file) },
          region = {
            startLine = finding.line,
            startColumn = finding.column,
            endLine = finding.end_line,
            endColumn = finding.end_column,
            byteOffset = finding.offset,
            byteLength = finding.end_offset - finding.offset,
          },
        },
      },
    },
    partialFingerprints = { ["paiScan/v1"] = finding.fingerprint },
  }
end

---Makes the document.
---@param rules pai.scan.Rule[]
---@param findings table[]
---@param errors { path: string, message: string }[]
---@return table
function M.document(rules, findings, errors)
  local index, described, results, notes = {}, {}, {}, {}
  for i, rule in ipairs(rules) do
    index[rule.id] = i - 1
    described[i] = {
      id = rule.id,
      shortDescription = { text = rule.description },
      fullDescription = { text = rule.description .. ". Format: " .. rule.source .. "." },
      defaultConfiguration = { level = LEVEL[rule.severity] },
    }
  end
  for i, finding in ipairs(findings) do
    results[i] = result(finding, index[finding.rule])
  end
  for i, e in ipairs(errors) do
    notes[i] = { level = "error", message = { text = e.message } }
  end
  return {
    ["$schema"] = "https://json.schemastore.org/sarif-2.1.0.json",
    version = "2.1.0",
    runs = {
      {
        tool = {
          driver = {
            name = "pai scan",
            semanticVersion = require("pai.version"),
            rules = json.array(described),
          },
        },
        columnKind = "unicodeCodePoints",
        results = json.array(results),
        invocations = {
          {
            executionSuccessful = #errors == 0,
            toolExecutionNotifications = json.array(notes),
          },
        },
      },
    },
  }
end

return M
