#include "everlong/tensor/torch.h"
