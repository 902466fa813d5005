/* Latencies: 32 buckets for each power of two, so within 3 %. */
#include <string.h>

#include "load.h"

enum { BITS = 5, SUB = 1 << BITS, BUCKETS = 64 * SUB };

static uint64_t counts[BUCKETS], total;
static double sum;

void histogram_reset(void) {
    memset(counts, 0, sizeof counts);
    total = 0;
    sum = 0;
}

void histogram_add(uint64_t ns) {
    int shift = ns < SUB ? 0 : 63 - __builtin_clzll(ns) - BITS;
    counts[(size_t)shift * SUB + (ns >> shift)]++;
    total++;
    sum += (double)ns;
}

double histogram_at(double quantile) {
    uint64_t wanted = (uint64_t)(quantile * (double)total), seen = 0;
    if (total == 0) return 0;
    if (wanted >= total) wanted = total - 1;
    for (size_t i = 0; i < BUCKETS; i++) {
        seen += counts[i];
        if (seen > wanted) {
            size_t shift = i < 2 * SUB ? 0 : i / SUB - 1;
            double low = (double)((uint64_t)(i - shift * SUB) << shift);
            return (low + (double)(((uint64_t)1 << shift) - 1) / 2) / 1000;
        }
    }
    return 0;
}

double histogram_mean(void) { return total ? sum / (double)total / 1000 : 0; }
