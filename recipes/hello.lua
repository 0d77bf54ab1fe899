-- The newcomer's example: an input, two steps and a gate.
return {
  api = 1,
  name = "hello",
  title = "Hello",
  summary = "Writes a greeting to a file and checks that it is there.",
  safety = "changes",
  inputs = {
    name = { type = "string", doc = "Who is greeted." },
    out = { type = "path", default = "hello.txt", doc = "The file that is written." },
  },
  needs = { writes = { "@out" } },
  steps = {
    {
      name = "greet",
      done = function(ctx, inp)
        local text = ("Hello, %s!\n"):format(inp.name)
        if ctx.fs.exists(inp.out) and ctx.read(inp.out) == text then
          return { path = inp.out }
        end
      end,
      run = function(ctx, inp)
        ctx.write(inp.out, ("Hello, %s!\n"):format(inp.name))
        return { path = inp.out }
      end,
    },
    {
      name = "measure",
      after = { "greet" },
      safety = "observes",
      run = function(ctx, _, got)
        local text = ctx.read(got.greet.path)
        ctx.log(("%s holds %d bytes"):format(got.greet.path, #text))
        return { bytes = #text }
      end,
      verify = function(_, inp, got)
        local expected = #inp.name + 9
        return {
          {
            name = "the greeting is whole",
            state = got.measure.bytes == expected and "ok" or "red",
            measured = got.measure.bytes,
            expected = expected,
            hint = "look at the file; something else may write to it",
          },
        }
      end,
    },
  },
  returns = {
    path = { type = "path", from = "greet.path", doc = "The file." },
    bytes = { type = "integer", from = "measure.bytes", doc = "Its size." },
  },
  examples = { "pai run hello name=Ada", "pai plan hello name=Ada out=/tmp/hello.txt" },
}
