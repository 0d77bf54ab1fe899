std = "lua54"
max_line_length = 100
cache = false
exclude_files = { "build", "vendor", "media", "node_modules" }

-- `pai lua` gives the global; recipes must require nothing and see none of it.
files["lua/luac.lua"] = { read_globals = { "pai" } }
files["tests"] = { read_globals = { "pai" } }
files["docs"] = { read_globals = { "pai" } }
files["tests/spec"] = { std = "lua54+busted", read_globals = { "pai" } }
files["lua/pai/meta"] = { ignore = { "111", "112", "131", "211", "212", "241", "631" } }
