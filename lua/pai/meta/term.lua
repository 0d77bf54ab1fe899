---@meta pai.term

---What a program must know of the terminal.
---@class pai.term
local term = {}

---@param fd integer
---@return boolean
function term.isatty(fd) end

---@return integer cols
---@return integer rows
function term.size() end

---Whether colours may be written: a terminal, NO_COLOR empty, TERM set and not "dumb".
---@param fd integer
---@return boolean
function term.color(fd) end

---The columns a text takes; ANSI sequences and control characters take none.
---@param text string
---@return integer columns
function term.width(text) end

---Asks for a line on the terminal.
---@param prompt? string
---@return string? line
---@return pai.error? err `ENXIO`: there is no terminal; `EPIPE`: no answer.
function term.read_line(prompt) end

---Standard input as it is typed: byte by byte, unseen, ^C a byte like others. The terminal is put
---back when the value is restored, closed or collected.
---@class pai.term.Raw
local Raw = {}

function Raw:restore() end

---@return pai.term.Raw? raw
---@return pai.error? err `ENOTTY`
function term.raw() end

return term
