#include "model/model_priv.h"
int hearth__pass_batchnorm(struct hearth__ir *ir)
{
    (void)ir;
    return 0;
}
int hearth__pass_bias(struct hearth__ir *ir)
{
    (void)ir;
    return 0;
}
int hearth__pass_residual(struct hearth__ir *ir)
{
    (void)ir;
    return 0;
}
int hearth__pass_activation(struct hearth__ir *ir)
{
    (void)ir;
    return 0;
}
