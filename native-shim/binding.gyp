{
  "targets": [
    {
      "target_name": "shim",
      "sources": ["shim.c", "open.c", "netns.c", "frames.c", "offload.c", "watch.c", "udp.c"],
      "cflags": ["-std=gnu11", "-O3", "-Wall", "-Wextra"],
      "defines": ["NAPI_VERSION=8", "_GNU_SOURCE"]
    }
  ]
}
