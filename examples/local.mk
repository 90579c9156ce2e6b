# SPDX-License-Identifier: Apache-2.0
EXTRA_DIST += examples/digits/README.md examples/digits/hearth.yaml \
	examples/digits/labels.txt examples/digits/model.onnx \
	examples/digits/train.py examples/digits/0.png examples/digits/1.png \
	examples/digits/2.png examples/digits/3.png examples/digits/4.png \
	examples/digits/5.png examples/digits/6.png examples/digits/7.png \
	examples/digits/8.png examples/digits/9.png \
	examples/imagenet/README.md examples/imagenet/hearth.yaml \
	examples/imagenet/labels.txt examples/imagenet/make_picture.py \
	examples/imagenet/make_resnet18.py examples/imagenet/picture.jpg
