{
  "targets": [
    {
      "target_name": "shim",
      "sources": ["shim.c", "tap.c", "frames.c", "watch.c", "udp.c"],
      "cflags": ["-std=gnu11", "-O2", "-Wall", "-Wextra"],
      "defines": ["NAPI_VERSION=8", "_GNU_SOURCE"]
    }
  ]
}
