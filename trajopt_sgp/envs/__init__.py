"""Plants as Gymnasium environments, each with its analytic torch model; importing this package registers them.

What steps an environment, `collect_...`, takes a seed, which is that of the environment too; what draws, `sample_...`,
takes a generator of NumPy. Both are 0 by default.
"""

from trajopt_sgp.envs.cartpole import CartPoleSwingUpEnv as CartPoleSwingUpEnv
from trajopt_sgp.envs.cartpole_dynamics import CartPoleDynamics as CartPoleDynamics
from trajopt_sgp.envs.cartpole_dynamics import cartpole_swing_up_cost as cartpole_swing_up_cost
from trajopt_sgp.envs.cartpole_equations import CartPoleParameters as CartPoleParameters
from trajopt_sgp.envs.cartpole_sampling import sample_cartpole_transitions as sample_cartpole_transitions
from trajopt_sgp.envs.disc_images import DiscImages as DiscImages
from trajopt_sgp.envs.image_centroid import image_centroid as image_centroid
from trajopt_sgp.envs.pendulum import PendulumKeypointsEnv as PendulumKeypointsEnv
from trajopt_sgp.envs.pendulum_dynamics import PendulumDynamics as PendulumDynamics
from trajopt_sgp.envs.pendulum_dynamics import PendulumKeypointDynamics as PendulumKeypointDynamics
from trajopt_sgp.envs.pendulum_dynamics import pendulum_swing_up_cost as pendulum_swing_up_cost
from trajopt_sgp.envs.pendulum_equations import PendulumParameters as PendulumParameters
from trajopt_sgp.envs.pendulum_sampling import sample_pendulum_transitions as sample_pendulum_transitions
from trajopt_sgp.envs.pixel_integrator import PixelIntegratorEnv as PixelIntegratorEnv
from trajopt_sgp.envs.pixel_integrator import run_controls as run_controls
from trajopt_sgp.envs.pixel_sampling import collect_pixel_episodes as collect_pixel_episodes
from trajopt_sgp.envs.pixel_sampling import draw_positions as draw_positions
from trajopt_sgp.envs.pixel_sampling import sample_pixel_transitions as sample_pixel_transitions
from trajopt_sgp.envs.pixel_world import PixelWorld as PixelWorld
from trajopt_sgp.envs.planar_pusher import PlanarPusherEnv as PlanarPusherEnv
from trajopt_sgp.envs.planar_pusher import PusherRandomization as PusherRandomization
from trajopt_sgp.envs.planar_worlds import CORRIDOR as CORRIDOR
from trajopt_sgp.envs.planar_worlds import LIGHT_DARK as LIGHT_DARK
from trajopt_sgp.envs.planar_worlds import WORLDS as WORLDS
from trajopt_sgp.envs.planar_worlds import PlanarWorld as PlanarWorld
from trajopt_sgp.envs.planar_worlds import depth_outside as depth_outside
from trajopt_sgp.envs.planar_worlds import find_world as find_world
from trajopt_sgp.envs.planar_worlds import segments_outside as segments_outside
from trajopt_sgp.envs.point_mass import PointMassEnv as PointMassEnv
from trajopt_sgp.envs.point_mass_dynamics import PointMassDynamics as PointMassDynamics
from trajopt_sgp.envs.point_mass_sampling import sample_circle as sample_circle
from trajopt_sgp.envs.point_mass_sampling import sample_point_mass_transitions as sample_point_mass_transitions
from trajopt_sgp.envs.pusher_control import PushPlanner as PushPlanner
from trajopt_sgp.envs.pusher_control import push_controller as push_controller
from trajopt_sgp.envs.pusher_demonstrations import collect_pusher_demonstrations as collect_pusher_demonstrations
from trajopt_sgp.envs.pusher_dynamics import PusherDynamics as PusherDynamics
from trajopt_sgp.envs.pusher_dynamics import PusherKeypointDynamics as PusherKeypointDynamics
from trajopt_sgp.envs.pusher_dynamics import pusher_casadi as pusher_casadi
from trajopt_sgp.envs.pusher_dynamics import pusher_frame as pusher_frame
from trajopt_sgp.envs.pusher_equations import PusherParameters as PusherParameters
from trajopt_sgp.envs.pusher_guidance import PushGuide as PushGuide
from trajopt_sgp.envs.pusher_guidance import PushProposals as PushProposals
from trajopt_sgp.envs.pusher_models import load_push_models as load_push_models
from trajopt_sgp.envs.registration import ARM_PUSHER_ID as ARM_PUSHER_ID
from trajopt_sgp.envs.registration import CARTPOLE_SWING_UP_ID as CARTPOLE_SWING_UP_ID
from trajopt_sgp.envs.registration import CORRIDOR_ID as CORRIDOR_ID
from trajopt_sgp.envs.registration import LIGHT_DARK_ID as LIGHT_DARK_ID
from trajopt_sgp.envs.registration import PENDULUM_KEYPOINTS_ID as PENDULUM_KEYPOINTS_ID
from trajopt_sgp.envs.registration import PIXEL_INTEGRATOR_ID as PIXEL_INTEGRATOR_ID
from trajopt_sgp.envs.registration import PLANAR_PUSHER_ID as PLANAR_PUSHER_ID
from trajopt_sgp.envs.registration import register_environments as register_environments

register_environments()
