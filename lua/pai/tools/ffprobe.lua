-- ffprobe: it looks at media; only its report and its own output file would write.
return {
  name = "ffprobe",
  reads = { {} },
  refuse = { "-report", "-o" },
}
