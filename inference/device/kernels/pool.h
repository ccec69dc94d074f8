#ifndef LORIKEET_POOL_H
#define LORIKEET_POOL_H

#include "matmul.h"

// lorikeet_shared_pool is the pool of the caller and so many threads less one, which all
// pools share: no more than there are processors for.
lorikeet_pool lorikeet_shared_pool(int threads);

#endif
