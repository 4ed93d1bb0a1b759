#include "fuzz_http.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	/* the preface and empty SETTINGS, so that mutations begin behind them */
	static const char first[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0";
	fuzz_feed(data, len, first, sizeof(first) - 1);
	return 0;
}
