-- ffmpeg: what it says of itself.
return {
  name = "ffmpeg",
  reads = {
    { "-version" },
    { "-hide_banner", "-version" },
    { "-hide_banner", "-encoders" },
    { "-hide_banner", "-decoders" },
    { "-hide_banner", "-filters" },
    { "-encoders" },
    { "-decoders" },
    { "-filters" },
  },
  refuse = { "-report", "-i", "-f" },
}
