#!/usr/bin/env bash
# Makes the clips of tests/given.rs, and frames of them as ffmpeg shows them: what another program makes of the same file.
# With ffmpeg 5.1.
set -euo pipefail
cd "$(dirname "$0")"
rm -f ./*.mp4 ./*.mov ./*.gif ./*.png ./*.webm ./*.m4a
moving='testsrc2=size=64x48:rate=24:duration=0.5'
make() { ffmpeg -v error -y -bitexact -f lavfi -i "$1" "${@:2}"; }
plain=(-c:v libx264 -preset slow -crf 16 -pix_fmt yuv420p)
# Pictures that others follow from come first, and the first one shown is not at time 0 but for a list of edits.
make "$moving" "${plain[@]}" -bf 3 -x264-params scenecut=0:keyint=6:bframes=3:b-adapt=0 reordered.mp4
make "$moving" "${plain[@]}" -vf 'scale=out_color_matrix=bt709:out_range=pc' -color_range pc -colorspace bt709 \
  -color_primaries bt709 -color_trc bt709 full_range.mp4
# Pictures 0 to 3 at 24 a second, the others at 12.
make "$moving" "${plain[@]}" -vf 'setpts=if(lt(N\,4)\,N/24/TB\,(N-2)/12/TB)' -fps_mode vfr -video_track_timescale 24000 uneven.mp4
make 'testsrc2=size=64x48:rate=10:duration=0.3' "${plain[@]}" upright.mp4
ffmpeg -v error -y -bitexact -i upright.mp4 -c copy -metadata:s:v:0 rotate=90 turned.mov
# Cut at a picture that follows from others: those before it are in the file, and not shown.
ffmpeg -v error -y -bitexact -ss 0.09 -i reordered.mp4 -c copy cut.mp4
make "$moving" -c:v libx264 -profile:v high10 -pix_fmt yuv420p10le -frames:v 2 ten_bits.mp4
make "$moving" -c:v libx264 -pix_fmt yuv444p -frames:v 2 all_chroma.mp4
make "$moving" -c:v libx264 -pix_fmt yuv420p -flags +ildct+ilme -x264opts tff=1 -frames:v 2 interlaced.mp4
make "$moving" -c:v libx265 -x265-params log-level=none -pix_fmt yuv420p -frames:v 2 -tag:v hvc1 hevc.mp4
make "$moving" -c:v libx264 -pix_fmt yuv420p -vf setsar=4/3 -frames:v 2 oblong_pixels.mp4
make "$moving" -c:v libx264 -pix_fmt yuv420p -movflags frag_keyframe+empty_moov -frames:v 2 fragments.mp4
make 'sine=duration=0.1' -c:a aac sound.m4a
make "$moving" -c:v libvpx -frames:v 2 other.webm
make 'testsrc2=size=64x48:rate=10:duration=0.4' -vf 'split[a][b];[a]palettegen[p];[b][p]paletteuse' moving.gif
for clip in reordered.mp4:12 full_range.mp4:2 turned.mov:2; do
  ffmpeg -v error -y -i "${clip%:*}" -frames:v "${clip#*:}" -fps_mode passthrough -sws_flags accurate_rnd+full_chroma_int+full_chroma_inp "${clip%.*}-%02d.png"
done
