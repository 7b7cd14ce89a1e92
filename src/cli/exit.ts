// Exit statuses (DESIGN section 6).

/** Ran, but could not finish: says what was processed. */
export const EXIT_UNFINISHED = 1;
/** Bad arguments or input; nothing was written. */
export const EXIT_ARGUMENTS = 2;
