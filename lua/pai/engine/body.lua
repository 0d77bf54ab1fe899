-- The body of a submit: upstream's TemplateSpec.
local json = require("pai.json")
local reply = require("pai.engine.reply")

local M = {}

local BODY <const> = {
  file = "string",
  set_variables = "list",
  set_string_variables = "list",
  uploaded_templated_spec = "optional",
}

local function check_text(detail, value, loc, optional)
  if value == nil or (optional and value == json.null) then
    return
  end
  if type(value) ~= "string" then
    detail[#detail + 1] = {
      type = "string_type",
      loc = loc,
      msg = "Input should be a valid string",
      input = value,
    }
  end
end

---The body of a submit, checked as upstream's model checks it; raises the 422.
---@param req table
---@return table? body nil when there is none
function M.parse(req)
  if req.body == nil or req.body == "" then
    return nil
  end
  local body, e = json.decode(req.body)
  if body == nil then
    reply.invalid({
      {
        type = "json_invalid",
        loc = { "body", e.column or 0 },
        msg = "JSON decode error",
        input = {},
      },
    })
  end
  if body == json.null then
    return nil
  end
  if type(body) ~= "table" or json.is_array(body) then
    reply.invalid({
      {
        type = "model_attributes_type",
        loc = { "body" },
        msg = "Input should be a valid dictionary or object to extract fields from",
        input = body,
      },
    })
  end
  local detail = {}
  if body.file == nil then
    detail[1] = { type = "missing", loc = { "body", "file" }, msg = "Field required", input = body }
  end
  for name, value in pairs(body) do
    local kind = BODY[name]
    if not kind then
      detail[#detail + 1] = {
        type = "extra_forbidden",
        loc = { "body", name },
        msg = "Extra inputs are not permitted",
        input = value,
      }
    elseif kind ~= "list" then
      check_text(detail, value, { "body", name }, kind == "optional")
    elseif type(value) ~= "table" then
      detail[#detail + 1] = {
        type = "list_type",
        loc = { "body", name },
        msg = "Input should be a valid list",
        input = value,
      }
    else
      for i, item in ipairs(value) do
        check_text(detail, item, { "body", name, i - 1 })
      end
    end
  end
  if #detail > 0 then
    reply.invalid(detail)
  end
  return body
end

return M
