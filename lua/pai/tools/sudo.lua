-- sudo: never with a password prompt. What a component runs behind it only to look is named there.
return {
  name = "sudo",
  reads = { { "-n", "true" } },
}
