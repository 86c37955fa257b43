// The application: a small bank that answers requests.
#pragma once
#include <stdint.h>

struct app_stats {
    uint64_t requests;       // handled
    uint64_t rejected;       // could not be parsed
    uint64_t transfers;
    uint64_t response_bytes;
    uint64_t jobs;           // results the runtime delivered (app_record_job)
    int64_t last_job_result;
};
extern struct app_stats app_stats;

/** Starts the worker threads. */
void app_start(void);
/** Handles one request, `transfer FROM TO AMOUNT`; writes the answer into `response` and returns its length. */
uint32_t app_handle_request(const char *request, char *response, uint32_t size);
/** A consistent copy of app_stats: takes the ledger's lock. */
struct app_stats app_take_stats(void);
/** Enters a result of the language runtime into the ledger. */
void app_record_job(int64_t result);
