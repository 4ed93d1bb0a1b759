/*
 * agent/spool_priv - writing the format that spool.h describes.
 */
#ifndef AGENT_SPOOL_PRIV_H
#define AGENT_SPOOL_PRIV_H

#include "spool.h"

void spool_write_header(char out[SPOOL_HEADER_BYTES], const struct spool_header *h);
void spool_write_record(struct buf *out, uint64_t sequence, uint8_t type, uint8_t compression,
			struct str payload);

#endif
