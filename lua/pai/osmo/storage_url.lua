-- URLs of object stores that inputs and outputs may name. file:// is pai's own extension.
local M = {}

-- How many parts each scheme needs after "//", the first being a bucket, host or account.
local LEAST = { s3 = 1, gs = 1, tos = 2, azure = 2, swift = 3 }

local FORMS = {
  s3 = "s3://bucket/path",
  gs = "gs://bucket/path",
  tos = "tos://host/bucket/path",
  azure = "azure://account/container/path",
  swift = "swift://host/account/container/path",
}

---Checks a URL.
---@param url string
---@param opts {file: boolean?}? file: file:// counts, too
---@return string? scheme
---@return string? reason
function M.check(url, opts)
  local scheme, rest = url:match("^(%a[%w+.-]*)://(.*)$")
  if opts and opts.file and scheme == "file" then
    if rest:find("^/[^/]") and not rest:find("%z") then
      return "file"
    end
    return nil, ("'%s' must name an absolute path: file:///path"):format(url)
  end
  local least = LEAST[scheme]
  if not least then
    local known = "use s3, gs, swift, tos"
      .. (opts and opts.file and ", azure or file" or " or azure")
    return nil, ("'%s' has no storage scheme: %s"):format(url, known)
  end
  local parts, trimmed = 0, rest:gsub("/+$", "")
  for part in (trimmed .. "/"):gmatch("([^/]*)/") do
    parts = parts + 1
    if part == "" or part:find("[,;*]") then
      parts = -1
      break
    end
  end
  if parts < least then
    return nil, ("'%s' must have the form %s"):format(url, FORMS[scheme])
  end
  return scheme
end

return M
