-- uname only looks, whatever it is asked.
return {
  name = "uname",
  reads = { {} },
}
