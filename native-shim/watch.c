/* Tells JavaScript when a file descriptor has something to read: Node waits for sockets and pipes only, the loop below it for any. */
#include "shim.h"

#include <errno.h>
#include <stdlib.h>
#include <uv.h>

struct watch {
  uv_poll_t poll; /* first, so that libuv's handle is the watch */
  napi_env env;
  napi_ref callback;
  napi_async_context context;
  bool stopped;
};

static void on_closed(uv_handle_t *handle) { free(handle); }

/* Ends the watch; its memory goes when libuv has let go of it. */
static void stop(void *argument) {
  struct watch *watch = argument;
  if (watch->stopped) return;
  watch->stopped = true;
  uv_poll_stop(&watch->poll);
  napi_async_destroy(watch->env, watch->context);
  napi_delete_reference(watch->env, watch->callback);
  uv_close((uv_handle_t *)&watch->poll, on_closed);
}

static void on_readable(uv_poll_t *poll, int status, int events) {
  (void)events;
  struct watch *watch = (struct watch *)poll;
  napi_env env = watch->env;
  napi_handle_scope scope;
  napi_open_handle_scope(env, &scope);
  napi_value callback, self;
  napi_get_reference_value(env, watch->callback, &callback);
  napi_get_global(env, &self);
  /* A thrown error becomes Node's uncaughtException. */
  if (napi_make_callback(env, watch->context, self, callback, 0, NULL, NULL) == napi_pending_exception) {
    napi_value error;
    napi_get_and_clear_last_exception(env, &error);
    napi_fatal_exception(env, error);
  }
  napi_close_handle_scope(env, scope);
  /* libuv has ended the watch at an error, which has shown when the reader read: if that is not the end, neither is it the watch's. */
  if (status < 0 && !watch->stopped) uv_poll_start(poll, UV_READABLE, on_readable);
}

napi_value shim_watch(napi_env env, napi_callback_info info) {
  napi_value arguments[2];
  uint32_t fd;
  uv_loop_t *loop;
  if (!shim_arguments(env, info, 2, arguments) || !shim_u32(env, arguments[0], &fd)) return NULL;
  if (napi_get_uv_event_loop(env, &loop) != napi_ok) return shim_throw_errno(env, "event loop", EINVAL);
  struct watch *watch = calloc(1, sizeof *watch);
  if (watch == NULL) abort();
  watch->env = env;
  int error = uv_poll_init(loop, &watch->poll, (int)fd);
  if (error != 0) {
    free(watch);
    return shim_throw_errno(env, "watch", -error);
  }
  napi_value name, handle;
  napi_create_string_utf8(env, "megaflow:watch", NAPI_AUTO_LENGTH, &name);
  napi_async_init(env, NULL, name, &watch->context);
  napi_create_reference(env, arguments[1], 1, &watch->callback);
  napi_add_env_cleanup_hook(env, stop, watch);
  uv_poll_start(&watch->poll, UV_READABLE, on_readable);
  napi_create_external(env, watch, NULL, NULL, &handle);
  return handle;
}

/* Once for each handle; the descriptor may be closed afterwards, not before. */
napi_value shim_unwatch(napi_env env, napi_callback_info info) {
  napi_value arguments[1];
  struct watch *watch;
  if (!shim_arguments(env, info, 1, arguments)) return NULL;
  if (napi_get_value_external(env, arguments[0], (void **)&watch) != napi_ok) {
    napi_throw_type_error(env, NULL, "wanted what watch() gave");
    return NULL;
  }
  napi_remove_env_cleanup_hook(env, stop, watch);
  stop(watch);
  return NULL;
}
