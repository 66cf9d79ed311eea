"""The Wan2.1 VAE and a whole-sequence forward over its weights.

diffusers runs the VAE one latent frame at a time with feature caches. `encode_all`/`decode_all` compute the same thing
(tests below) in one pass over all frames, which trains several times faster.
"""

import torch
from diffusers import AutoencoderKLWan
from diffusers.models.autoencoders.autoencoder_kl_wan import WanResample


def make_vae(base_dim=16, num_res_blocks=1):
    return AutoencoderKLWan(
        base_dim=base_dim,
        z_dim=16,
        dim_mult=[1, 2, 4, 4],
        num_res_blocks=num_res_blocks,
        temperal_downsample=[False, True, True],
    )


def _resample(m: WanResample, x):
    if m.mode == "upsample3d" and x.shape[2] > 1:  # the first frame is not doubled, and later ones do not see it
        b, c, t, h, w = x.shape
        y = m.time_conv(x[:, :, 1:]).reshape(b, 2, c, t - 1, h, w)
        y = torch.stack((y[:, 0], y[:, 1]), 3).reshape(b, c, 2 * (t - 1), h, w)
        x = torch.cat([x[:, :, :1], y], 2)
    b, c, t, h, w = x.shape
    x = m.resample(x.permute(0, 2, 1, 3, 4).reshape(b * t, c, h, w))
    x = x.view(b, t, *x.shape[1:]).permute(0, 2, 1, 3, 4)
    if m.mode == "downsample3d" and t > 1:
        x = torch.cat([x[:, :, :1], m.time_conv(x)], 2)
    return x


def encode_all(vae, x):
    """[B,3,1+4k,H,W] -> posterior mean and log-variance [B,16,1+k,H/8,W/8]."""
    e = vae.encoder
    x = e.conv_in(x)
    for m in e.down_blocks:
        x = _resample(m, x) if isinstance(m, WanResample) else m(x)
    x = e.conv_out(e.nonlinearity(e.norm_out(e.mid_block(x))))
    mean, logvar = vae.quant_conv(x).chunk(2, 1)
    return mean, logvar.clamp(-30, 20)


def decode_all(vae, z):
    d = vae.decoder
    x = d.mid_block(d.conv_in(vae.post_quant_conv(z)))
    for up in d.up_blocks:
        for r in up.resnets:
            x = r(x)
        if up.upsamplers is not None:
            x = _resample(up.upsamplers[0], x)
    return d.conv_out(d.nonlinearity(d.norm_out(x)))


if __name__ == "__main__":
    torch.manual_seed(0)
    vae = make_vae(8).eval()
    x = torch.rand(2, 3, 17, 32, 32) * 2 - 1
    with torch.no_grad():
        p = vae.encode(x).latent_dist
        m, lv = encode_all(vae, x)
        print("encode diff", (p.mean - m).abs().max().item(), (p.logvar - lv).abs().max().item())
        print("decode diff", (vae.decode(m).sample - decode_all(vae, m).clamp(-1, 1)).abs().max().item())
    print("params", sum(p.numel() for p in vae.parameters()))
