// The thread that says every second how the guest is.
#pragma once

void logger_start(void);
